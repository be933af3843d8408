"""Label on a Ray cluster. Each task is a short run of frames.

Ray schedules the tasks and reassigns those of a lost worker; the new worker finds completed frames on the file
system shared by all machines.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from deploy.core.progress import track
from deploy.core.ray_cluster import RETRIES, connected, finished
from labeling.labels.draft import WorkFolder
from labeling.labels.job import LabelJob, PlannedVideo
from labeling.labels.label_frames import label_frames, lr_stream, missing_frames
from labeling.labels.options import LabelOptions

if TYPE_CHECKING:
    from labeling.labels.labeller import Labeller

LEAST_FRAMES_A_TASK, TASKS_A_WORKER = 32, 4
"""A task decodes its video from the start: many short ones would spend their time on that."""


def label_on_ray(job: LabelJob, options: LabelOptions, work: WorkFolder) -> None:
    """Label every frame that is not done yet.

    Raises:
        OptionError: Ray is not installed, or the cluster does not exist.
        RegenError: a worker's error.
    """
    import torch

    with connected(options.ray_address) as ray:
        threads = torch.get_num_threads()  # as in the local engine, since sums depend on it
        resources = ray.cluster_resources()
        cpus = min(threads, int(resources.get("CPU", 1)))
        gpus = 1 if options.device != "cpu" and resources.get("GPU") else 0
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_label_run)
        shared = ray.put((_with_absolute_paths(options), work, threads))
        missing = [(video, sorted(missing_frames(video, set(video.splits), work))) for video in job.videos]
        total, left = job.num_frames, sum(len(frames) for _, frames in missing)
        length = max(LEAST_FRAMES_A_TASK, -(-left * cpus // (int(resources.get("CPU", 1)) * TASKS_A_WORKER)))
        for video, frames in missing:
            if frames:
                lr_stream(video, options, work)  # here, so that not every worker does
        pending = [
            task.remote(shared, _with_absolute_path(video), frames[first : first + length])
            for video, frames in missing
            for first in range(0, len(frames), length)
        ]
        labeled = chain.from_iterable(finished(ray, pending, "frames"))
        for _ in track(labeled, total=total, done=total - left, label="labeling on Ray"):
            pass


def _with_absolute_paths(options: LabelOptions) -> LabelOptions:
    """Make paths absolute, since workers run in their own folders."""
    paths = {name: getattr(options, name) for name in ("out", "detector_weights", "upscaler_weights", "sr_cache")}
    return replace(options, **{name: path.resolve() for name, path in paths.items() if path})


def _with_absolute_path(video: PlannedVideo) -> PlannedVideo:
    twin = replace(video.twin, path=video.twin.path.resolve()) if video.twin else None
    return replace(video, info=replace(video.info, path=video.info.path.resolve()), twin=twin)


def _label_run(shared: tuple[LabelOptions, WorkFolder, int], video: PlannedVideo, frames: list[int]) -> list[int]:
    """Label the missing frames, on a worker, and return the requested ones."""
    import torch

    options, work, threads = shared
    torch.set_num_threads(threads)
    missing = missing_frames(video, set(frames), work)
    if missing:
        for _ in label_frames(video, missing, _labeller(options), work):
            pass
    return frames


@cache
def _labeller(options: LabelOptions) -> Labeller:
    """Load the networks, once per worker."""
    from labeling.labels.labeller import make_labeller

    return make_labeller(options)
