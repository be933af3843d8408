"""Command-line arguments that the commands share. Imports nothing heavy, so that ``--help`` is fast."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with --config, --dataset, --device and --opts."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration (.yml) or its name")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="dataset folder, instead of the configuration's")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto (default) uses a GPU if there is one"
    )
    parser.add_argument(
        "--opts",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override entries of the configuration, such as loss.coef=[1]",
    )
    return parser


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add --model_path, under the name that PaddleSeg's own tools use."""
    parser.add_argument("--model_path", type=Path, required=True, metavar="FILE", help="trained weights (.pdparams)")


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def overrides_of(arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Split ``KEY=VALUE`` at the first equals sign; without one, the value is empty, which is rejected later."""
    pairs = (argument.partition("=") for argument in arguments)
    return tuple((key, value) for key, _, value in pairs)
