"""Label videos: compute every frame's importance, keep each as it is done, then assemble the dataset at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from deploy.core.errors import OptionError, OutputError
from deploy.core.progress import track
from deploy.core.work_folder import clear, hold
from labeling.dataset.manifest import MANIFEST_NAME, read_manifest
from labeling.maths.quantise import Knots
from labeling.options import LabelOptions, parse_shard
from labeling.pipelines.assemble_dataset import WorkFolder, assemble_dataset, describe
from labeling.pipelines.calibration import read_calibration
from labeling.pipelines.importance_kind import differing_options
from labeling.pipelines.importance_reuse import reuse_importance
from labeling.pipelines.label_frames import label_frames, missing_frames
from labeling.pipelines.label_job import LabelJob, PlannedVideo, option_values, plan_job

if TYPE_CHECKING:
    from labeling.pipelines.labeller import Labeller

VERSIONED_PACKAGES = ("torch", "numpy", "av", "pillow")


def label_videos(options: LabelOptions) -> None:
    """Make the dataset ``options.out``, going on with unfinished work of the same job.

    Raises:
        RegenError: bad options, videos, weights, or an output folder that is in use.
    """
    job = plan_job(options)
    print(describe(job))
    from labeling.pipelines.labeller import make_labeller, model_records

    labeller = make_labeller(options, job.grid)
    if options.dry_run:
        print("the detector and the upscaler can be used; dry run: no labels were made")
        return
    models = model_records(labeller.detector, labeller.upscaler)
    versions = {name: version(name) for name in VERSIONED_PACKAGES}
    calibration = read_calibration(options.calibration, options, models) if options.calibration else None
    if calibration:
        options = replace(options, curve=calibration.curve, scope="dataset")
    fingerprint = job.fingerprint(options, models, versions, calibration)
    work = WorkFolder.for_output(options.out, fingerprint)
    if _is_done(options, fingerprint):
        if work.root.exists():  # left over: the last run was killed after its last step
            with suppress(OutputError), hold(work.root / "lock"):
                clear(work.root)
        return
    for other in work.unfinished_others():
        print(f"note: unfinished work with other options, videos or weights is kept in {other}")
    part, parts = parse_shard(options.shard)
    with _locked(work, options.shard):
        if _is_done(options, fingerprint):  # by a process that ended just now
            if options.shard is None:  # else others may be at work here
                clear(work.root)
            return
        if options.importance_from:
            taken = reuse_importance(options.importance_from, job, options, models, versions, work)
            print(f"importance of {taken} frames taken from {options.importance_from}")
        if options.engine == "ray":
            from labeling.pipelines.ray_engine import label_on_ray

            label_on_ray(job, options, work)
        else:
            knots = calibration.calibrations["dataset"].knots() if calibration else None
            for video in job.videos:
                _label_video(video, job.frames_of(part, parts)[video.video_id], job, labeller, work, knots)
        if options.shard:
            print(f"part {part} of {parts} is done; when all are, give the same command without --shard")
            return
        assemble_dataset(
            job, options, work, models=models, versions=versions, fingerprint=fingerprint, calibration=calibration
        )
        clear(work.root)


def _label_video(
    video: PlannedVideo, wanted: set[int], job: LabelJob, labeller: Labeller, work: WorkFolder, knots: Knots | None
) -> None:
    """Label the wanted frames of one video that are not done yet."""
    missing = missing_frames(video, wanted, work)
    done = len(wanted) - len(missing)
    if done:
        print(f"{video.video_id}: {done} of {len(wanted)} frames were done before")
    if missing:
        frames = label_frames(video, missing, job, labeller, work, knots)
        deque(track(frames, total=len(wanted), done=done, label=f"labelling {video.video_id}"), maxlen=0)


def _is_done(options: LabelOptions, fingerprint: str) -> bool:
    """Whether the output is this very job's; says so.

    Raises:
        OptionError: it is another job's and --overwrite was not given.
        OutputError: it is not a dataset.
    """
    if not options.out.exists() or (options.out.is_dir() and not any(options.out.iterdir())):
        return False
    if not (options.out / MANIFEST_NAME).is_file():
        raise OutputError(
            f"{options.out} exists and is not a dataset of this project", hint="Choose another --out, or move it away."
        )
    manifest = read_manifest(options.out)
    if manifest.job_sha256 == fingerprint:
        print(f"{options.out} is complete already: the same videos, options and weights")
        return True
    if not options.overwrite:
        differing = ", ".join(differing_options(manifest, option_values(options)))
        differing = differing or "videos, weights, calibration or package versions"
        raise OptionError(
            f"{options.out} holds labels of another job: {differing} differ",
            hint="Choose another --out, or add --overwrite to replace it.",
        )
    return False


@contextmanager
def _locked(work: WorkFolder, shard: str | None) -> Iterator[None]:
    """Keep a second process off the same job, or off the same part of it."""
    with ExitStack() as stack:
        stack.enter_context(hold(work.root / "lock", shared=shard is not None))
        if shard:
            stack.enter_context(hold(work.root / f"lock-{shard.replace('/', '-of-')}"))
        yield
