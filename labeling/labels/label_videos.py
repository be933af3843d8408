"""Label videos: compute and store the importance of each frame, then assemble the dataset."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from itertools import chain

from deploy.core.errors import OutputError
from deploy.core.work_folder import clear, hold
from deploy.outputs.lr_codec import LrCodec
from labeling.dataset.findings import resolution_findings
from labeling.labels.assemble import assemble_dataset
from labeling.labels.calibration import read_calibration
from labeling.labels.compatibility import is_complete
from labeling.labels.draft import WorkFolder
from labeling.labels.importance_reuse import reuse_importance
from labeling.labels.job import plan_job
from labeling.labels.label_frames import label_here, try_one_frame
from labeling.labels.options import LabelOptions, parse_shard

VERSIONED_PACKAGES = ("torch", "numpy", "av", "pillow")


def label_videos(options: LabelOptions) -> None:
    """Make the dataset ``options.out``, resuming unfinished work of the same job.

    Raises:
        RegenError: invalid options, videos or weights, or an output folder that is in use.
    """
    if options.lr_codec:
        LrCodec.parse(options.lr_codec)  # rejects invalid options before anything is read
    job = plan_job(options)
    print(job.describe())
    from labeling.labels.labeller import make_labeller
    from labeling.networks.loading import model_records

    labeller = make_labeller(options)
    models = model_records(labeller.detector, labeller.upscaler)
    if labeller.detector.description:
        print(f"detector {options.detector_weights}: {labeller.detector.description}")
    if labeller.upscaler.description:
        print(f"upscaler {options.upscaler_weights}: {labeller.upscaler.description}")
    for finding in chain.from_iterable(resolution_findings(models[0], grid) for grid in job.grids):
        print(f"warning: {finding}")
    if options.dry_run:
        print(f"{try_one_frame(job, labeller)}; dry run: no labels were written")
        return
    versions = {name: version(name) for name in VERSIONED_PACKAGES}
    calibration = read_calibration(options.calibration, options, models) if options.calibration else None
    if calibration:
        options = replace(options, curve=calibration.curve, scope="dataset")
    fingerprint = job.fingerprint(options, models, versions, calibration)
    work = WorkFolder.for_output(options.out, fingerprint)
    if is_complete(options, fingerprint):
        if work.root.exists():  # left by a run that was killed after its last step
            with suppress(OutputError), hold(work.root / "lock"):
                clear(work.root)
        return
    for other in work.unfinished_others():
        print(f"note: {other} contains unfinished work with other options, videos or weights")
    part, parts = parse_shard(options.shard)
    with work.locked(options.shard):
        if is_complete(options, fingerprint):  # finished by another process just now
            if options.shard is None:  # otherwise, other parts may still be running
                clear(work.root)
            return
        if options.importance_from:
            taken = reuse_importance(options.importance_from, job, options, models, versions, work)
            print(f"reused the importance of {taken} frames of {options.importance_from}")
        if options.engine == "ray":
            from labeling.labels.ray_engine import label_on_ray

            label_on_ray(job, options, work)
        else:
            knots = calibration.calibrations["dataset"].knots() if calibration else None
            label_here(job, part, parts, labeller, work, knots)
        if options.shard:
            print(f"part {part} of {parts} is done; when all are, run the same command without --shard")
            return
        assemble_dataset(
            job, options, work, models=models, versions=versions, fingerprint=fingerprint, calibration=calibration
        )
        clear(work.root)
