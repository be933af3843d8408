"""Super-resolve the regions of a video that detection gains from.

    python deploy/enhance.py --input VIDEO_OR_FOLDER_OR_IMAGE_OR_STREAM [...] --out DIR --budget 20%

Writes into DIR:
    enhanced.mp4         the enhanced frames at their exact times (see --segment-seconds); for images, enhanced/*.png
    blocks.jsonl         sizes in the first line, then one line per frame: selected macroblocks, super-resolved regions
    importance.npz       importance maps, levels and selected macroblocks, with --maps npz
    latency.json         time by stage
With several inputs, each has its own folder, DIR/stream-00-NAME and so on. You can read lines and closed segments while
it runs; DIR contains a file UNFINISHED until the end. After an interruption, run the same command again to resume after
the last closed segment.

    python deploy/enhance.py --input VIDEO --raw - | ffmpeg -f rawvideo -pix_fmt rgb24 -s 960x540 -r 25 -i - OUT.mp4
pipes raw RGB frames to another program.
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
from deploy.enhancement.options import EnhanceOptions


def main() -> None:
    """Parse the command line, enhance, and print where the time went."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options = parse_options(EnhanceOptions, parser)
    # Heavy libraries are imported only now, so that --help is immediate and works without them.
    from deploy.enhancement.run import enhance
    from deploy.inference.latency import table

    engine = enhance
    if options.engine == "ray":
        from deploy.enhancement.ray_engine import enhance_on_ray as engine
    report = engine(options, say=lambda line: print(line, file=sys.stderr))
    where = sys.stderr if options.raw else sys.stdout
    print(table(report["stages"]), file=where)
    speed = f"{report['frames_per_second']} frames/s"
    print(f"{report['num_frames']} frames in {report['wall_seconds']} s: {speed}", file=where)
    if options.out is not None:
        print(f"results: {options.out}", file=where)


if __name__ == "__main__":
    run(main, resumes=True)
