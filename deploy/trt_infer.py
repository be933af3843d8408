"""Predict which macroblocks of a video are worth super-resolving.

    python deploy/trt_infer.py --model model.onnx --input VIDEO_OR_FOLDER_OR_IMAGE_OR_STREAM [...] --out DIR

Writes into DIR:
    importance.npz       importance maps, levels and selected macroblocks of every frame (see --maps)
    blocks.jsonl         the macroblocks to enhance as rectangles, one line per frame
    overlays/*.png, overlay.mp4 (pictures to look at)
    latency.json         time by stage
With several inputs, each has its own folder, DIR/stream-00-NAME and so on. You can read lines and closed segments while
it runs; DIR contains a file UNFINISHED until the end. After an interruption, run the same command again to resume after
the last closed segment.

    python deploy/trt_infer.py benchmark --model model.onnx
times the stages of a model on this machine.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

if not __package__:
    # Run as a script: modules are found from the folder above, and none of this folder's hides another.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry).resolve() != _HERE)]

from deploy.core.cli import run
from deploy.core.options import parse_options
from deploy.inference.options import BenchmarkOptions, InferenceOptions


def main() -> None:
    """Parse the command line, predict, and print where the time went."""
    if sys.argv[1:2] == ["benchmark"]:
        _benchmark(sys.argv[2:])
        return
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options = parse_options(InferenceOptions, parser)
    # Heavy libraries are imported only now, so that --help is immediate and works without them.
    from deploy.inference.latency import table
    from deploy.inference.run import infer

    report = infer(options, say=lambda line: print(line, file=sys.stderr))
    where = sys.stderr if options.blocks else sys.stdout
    print(table(report["stages"]), file=where)
    speed = f"{report['frames_per_second']} frames/s"
    print(f"{report['num_frames']} frames in {report['wall_seconds']} s: {speed}", file=where)
    print(f"results: {options.out}", file=where)


def _benchmark(arguments: list[str]) -> None:
    """Time a model's stages on this machine."""
    parser = ArgumentParser(prog="trt_infer.py benchmark", description="Time a model on this machine.")
    options = parse_options(BenchmarkOptions, parser, arguments)
    from deploy.inference.benchmark import time_predictor
    from deploy.inference.latency import table

    report = time_predictor(options)
    print(report["backend"])
    print(table(report["stages"]))
    print(f"before and after the network: {report['share_around_network']:.1%} of a frame's time")


if __name__ == "__main__":
    run(main, resumes=True)
