"""Is super-resolution worth it for your video and your detector?

    python deploy/worth.py VIDEO --detector FILE.onnx [--out PAGE.html] [--json FILE]

reduces frames of the video, detects in them enlarged in many ways (interpolated, super-resolved whole, or only the
blocks that the predictor chooses; a larger detector input, slices, blocks around the boxes of the frame before), and
compares accuracy and milliseconds with the same detector on the true frames. No data set, no training; minutes.
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
from deploy.worth_it.options import WorthOptions


def main() -> None:
    """Parse the command line, find out, and print the answer."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options = parse_options(WorthOptions, parser)
    # Heavy libraries are imported only now, so that --help is immediate and works without them.
    from deploy.worth_it.engine import EnhancerEngine
    from deploy.worth_it.run import find_out, show, write_answer

    with EnhancerEngine(options.predictor, options.upscaler, options.threads) as engine:
        answer = find_out(options, engine)
        show(answer, print, write_answer(answer, options, engine))


if __name__ == "__main__":
    run(main)
