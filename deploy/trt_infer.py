"""Predict which macroblocks of a video are worth super-resolving.

    python deploy/trt_infer.py --model model.onnx --input VIDEO_OR_FOLDER_OR_IMAGE_OR_STREAM [...] --out DIR

writes into DIR:
    importance.npz       importance maps, levels and selected macroblocks of every frame (see --maps)
    blocks.jsonl         the macroblocks to enhance as rectangles, one line a frame
    overlays/*.png, overlay.mp4 (pictures to look at)
    latency.json         time by stage
with several inputs into DIR/stream-00-NAME and so on. DIR appears when everything is written, or not at all.

    python deploy/trt_infer.py benchmark --model model.onnx
times the stages of a model on this machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:
    # Run as a script: modules are found from the folder above, and none of this folder's hides another.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry).resolve() != _HERE)]

from deploy.backends.selection import AUTO, CHOICES
from deploy.core.cli import run


def main() -> None:
    """Parse the command line, predict, and print where the time went."""
    if sys.argv[1:2] == ["benchmark"]:
        _benchmark(sys.argv[2:])
        return
    arguments = _parser().parse_args()
    # Heavy libraries are imported only now, so that --help is immediate and works without them.
    from deploy.inference.latency import table
    from deploy.inference.options import InferenceOptions
    from deploy.inference.run import infer

    options = InferenceOptions(**{**vars(arguments), "input": tuple(arguments.input)})
    report = infer(options, say=lambda line: print(line, file=sys.stderr))
    print(table(report["stages"]))
    print(f"{report['num_frames']} frames in {report['wall_seconds']} s: {report['frames_per_second']} frames/s")
    print(f"results: {arguments.out}")


def _benchmark(arguments: list[str]) -> None:
    """Time a model's stages on this machine."""
    parser = argparse.ArgumentParser(prog="trt_infer.py benchmark", description="Time a model on this machine.")
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file; its card (.json) lies beside it")
    parser.add_argument("--backend", default=AUTO, help=f"{', '.join(CHOICES)} (default: {AUTO})")
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a CPU of this process)")
    parser.add_argument(
        "--spinning", action=argparse.BooleanOptionalAction, default=False, help="idle CPU threads poll"
    )
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="frames to time (default: 200)")
    parser.add_argument("--input-size", metavar="WxH", help="size of the frames given (default: the model's)")
    options = parser.parse_args(arguments)
    from deploy.inference.benchmark import time_predictor
    from deploy.inference.latency import table

    report = time_predictor(**vars(options))
    print(report["backend"])
    print(table(report["stages"]))
    print(f"before and after the network: {report['share_around_network']:.1%} of a frame's time")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the .onnx file; its model card (.json) lies beside it")
    inputs = "videos, folders of images (in order of name), images, rtsp:// or http:// streams, webcam:0"
    add("--input", nargs="+", required=True, metavar="INPUT", help=f"{inputs}; several share one selection")
    add("--out", type=Path, required=True, help="folder for the results")
    add("--overwrite", action="store_true", help="replace the results of an earlier run in --out")
    add("--backend", default=AUTO, help=f"{', '.join(CHOICES)} (default: {AUTO})")
    add("--threads", type=int, help="CPU threads (default: one a CPU of this process)")
    spinning = "idle CPU threads poll: faster on an idle machine, slower beside busy neighbours"
    add("--spinning", action=argparse.BooleanOptionalAction, default=False, help=spinning)
    add("--every", type=int, default=1, metavar="N", help="take one frame in N (default: 1)")
    add("--start-seconds", type=float, default=0.0, metavar="S", help="first time to take (default: 0)")
    add("--stop-seconds", type=float, metavar="S", help="first time not to take (default: the end)")
    add("--top", type=float, default=0.2, metavar="F", help="fraction of macroblocks to enhance (default: 0.2)")
    rules = "top-20%%, threshold-0.5 (importance) or budget-3000-per-second (macroblocks), over all inputs together"
    add("--select", metavar="RULE", help=f"which macroblocks to enhance: {rules} (default: --top)")
    window = "frames within so long share one selection (default: each frame alone; 1 s for several inputs or a budget)"
    add("--window-seconds", type=float, metavar="S", help=window)
    add("--predict-every", type=int, metavar="N", help="predict one frame in N, reuse between (default: every frame)")
    change = "predict anew when a frame differs so much from the last predicted one: mean difference of colours, 0 to 1"
    add("--on-change", type=float, metavar="C", help=change)
    add("--maps", choices=("npz", "jsonl"), default="npz", help="format of the importance maps (default: npz)")
    add("--segment-seconds", type=float, metavar="S", help="a new file of maps every S seconds (default: one file)")
    add("--overlays", type=int, default=5, metavar="N", help="number of overlay PNGs (default: 5)")
    overlay_video = "write overlay.mp4 (default: for videos only)"
    add("--overlay-video", action=argparse.BooleanOptionalAction, help=overlay_video)
    return parser


if __name__ == "__main__":
    run(main)
