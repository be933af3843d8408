"""Enhance several inputs on a Ray cluster: each input is a task, which writes its own folder.

Ray gives the task of a lost worker to another one, which goes on behind the closed segments on the file system that all
machines share.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.backends.base import usable_threads
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.ray_cluster import RETRIES, connected, finished
from deploy.enhancement.budgets import Budget
from deploy.enhancement.options import EnhanceOptions
from deploy.enhancement.run import enhance
from deploy.inputs.live import is_live
from deploy.outputs.growing_folder import UNFINISHED, growing
from deploy.outputs.output_folder import folder_of_stream


def enhance_on_ray(options: EnhanceOptions, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Enhance every input and write the results; see `enhance`.

    Raises:
        OptionError: Ray is not installed, or there is no such cluster.
        RegenError: what a worker met. The others' results stay, and the same command goes on.
    """
    assert options.out is not None  # noqa: S101  # the options see to that
    with growing(
        options.out, options.work(), options.input, overwrite=options.overwrite, resumable=options.resumable()
    ):
        parts = [_part(options, position) for position in range(len(options.input))]
        with connected(options.ray_address) as ray:
            threads = usable_threads(options.threads)
            cpus = min(threads, int(ray.cluster_resources().get("CPU", 1)))
            task = ray.remote(num_cpus=cpus, max_retries=RETRIES)(_enhance_part)
            say(f"Ray: {len(parts)} inputs, {cpus} CPUs per input")
            done = finished(ray, [task.remote(part) for part in parts], "input")
            reports = list(track(done, total=len(parts), label="enhancing on Ray", unit="input"))
        report = _joined(reports)
        write_text(options.out / "latency.json", json.dumps(report, indent=2) + "\n")
    return report


def _part(options: EnhanceOptions, position: int) -> EnhanceOptions:
    """One input, with its share of a budget a second, into its own folder. Workers run in folders of their own."""
    assert options.out is not None  # noqa: S101  # the options see to that
    name, out = options.input[position], folder_of_stream(options.out.resolve(), options.input, position)
    budget = Budget.parse(options.budget)
    if budget.kind == "rate":
        shared = float(budget.amount) / len(options.input)
        options = replace(options, budget=f"{shared:.6f}/s")
    paths = {name: getattr(options, name) for name in ("predictor", "upscaler", "detector")}
    return replace(
        options,
        input=(name if is_live(name) else str(Path(name).resolve()),),
        out=out,
        overwrite=False,
        engine="local",
        **{name: path.resolve() for name, path in paths.items() if path is not None},
    )


def _enhance_part(options: EnhanceOptions) -> dict[str, Any]:
    """Runs on a worker. What an earlier one has finished is not done again."""
    assert options.out is not None  # noqa: S101  # the options see to that
    done = options.out / "latency.json"
    if done.exists() and not (options.out / UNFINISHED).exists():
        report: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return report
    return enhance(options, say=lambda _: None)


def _joined(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One report of all inputs; times by stage are in those of the inputs."""
    frames, seconds = sum(report["num_frames"] for report in reports), max(r["wall_seconds"] for r in reports)
    return reports[0] | {
        "num_frames": frames,
        "wall_seconds": seconds,
        "frames_per_second": round(frames / seconds, 2),
        "num_dropped": sum(report["num_dropped"] for report in reports),
        "stages": {},
        "inputs": [about for report in reports for about in report["inputs"]],
    }
