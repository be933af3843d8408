"""The command line of `deploy/worth.py`, for detectors of any kind."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from deploy.core.options import parse_options
from deploy.worth_it.options import WorthOptions

if TYPE_CHECKING:  # heavy libraries are behind it
    from deploy.worth_it.detectors import OpenDetector


def answer_command(description: str | None, how_to_open: Callable[[], OpenDetector]) -> None:
    """Parse the command line, measure, and print the verdict.

    Args:
        description: the command's description, for --help.
        how_to_open: gives the function that makes the detector; called when the options were read, so that --help is
            immediate and works without heavy libraries.
    """
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    options = parse_options(WorthOptions, parser)
    from deploy.worth_it.engine import EnhancerEngine
    from deploy.worth_it.run import find_out, show, write_answer

    with ExitStack() as stack:
        engine = stack.enter_context(EnhancerEngine(options.predictor, options.upscaler, options.threads))
        lighter = None
        if options.upscaler is not None:
            embedded = stack.enter_context(EnhancerEngine(options.predictor, None, options.threads))
            lighter = embedded if embedded.scale == engine.scale else None
        answer = find_out(options, engine, how_to_open(), lighter)
        show(answer, print, write_answer(answer, options, engine))
