"""Log of a training run: metrics.jsonl, and optionally VisualDL event files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.core.files import write_text
from paddleseg_configs.training.run.evaluation import Evaluation

METRICS_NAME = "metrics.jsonl"


class MetricsLog:
    """One JSON object per line: the mean loss every N iterations, and evaluations.

    Args:
        path: file to write.
        every: number of iterations between lines.
        visualdl: folder for VisualDL event files; None writes none.
    """

    def __init__(self, path: Path, every: int, visualdl: Path | None = None) -> None:
        self.path, self.every, self.visualdl = path, every, visualdl
        self._events: Any = None
        self._losses: list[float] = []
        self._since = time.monotonic()

    def open(self, first: int) -> None:
        """Drop lines of iterations after the last checkpoint of a killed run."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        write_text(self.path, "".join(f"{line}\n" for line in lines if _iteration_of(line) <= first))
        if self.visualdl is not None:
            from visualdl import LogWriter

            # VisualDL names files by whole seconds: a run that resumes at once would overwrite the previous file.
            self._events = LogWriter(str(self.visualdl), file_name=f"vdlrecords.{time.time_ns()}.log")
        self._since = time.monotonic()

    def add(self, iteration: int, loss: float, learning_rate: float) -> None:
        """Count an iteration; write and print a line when it is time."""
        self._losses.append(loss)
        if iteration % self.every:
            return
        now, count = time.monotonic(), len(self._losses)
        mean, seconds = sum(self._losses) / count, (now - self._since) / count
        self._write({"iter": iteration, "loss": mean, "lr": learning_rate, "seconds_per_iter": seconds})
        self._draw(iteration, {"train/loss": mean, "train/lr": learning_rate})
        print(f"iteration {iteration}: loss {mean:.4f}, rate {learning_rate:.3g}, {seconds:.2f} s/iter", flush=True)
        self._losses, self._since = [], now

    def add_evaluation(self, iteration: int, result: Evaluation) -> None:
        """Write a line with the metrics."""
        self._write({"iter": iteration, "eval": result.as_json()})
        self._draw(iteration, {f"eval/{name}": value for name, value in result.figures().items()})
        self._since = time.monotonic()

    def close(self) -> None:
        """Finish VisualDL's file."""
        if self._events is not None:
            self._events.close()

    def _draw(self, iteration: int, values: Mapping[str, float]) -> None:
        if self._events is not None:
            for tag, value in values.items():
                self._events.add_scalar(tag, value, iteration)

    def _write(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


def _iteration_of(line: str) -> float:
    """Iteration of a line of metrics.jsonl; infinite for the incomplete line of a killed run."""
    try:
        return int(json.loads(line)["iter"])
    except (ValueError, KeyError, TypeError):
        return math.inf
