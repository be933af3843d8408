"""Build a TensorRT engine from an exported ONNX file.

    python export/onnx2trt.py runs/demo/model.onnx --out runs/demo/model.engine --batch 1,8,64

Writes model.engine and its record model.engine.json, which deployment checks before it loads the engine. TensorRT must
run on the GPU that the engine is for; TensorRT-RTX (--runtime tensorrt-rtx) builds on any machine and compiles its
kernels on the target. The precision is that of the ONNX file: export with --precision fp16 or int8-trt.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter

from deploy.core.cli import run
from deploy.core.options import parse_options
from export.engine_options import EngineOptions


def main() -> None:
    """Parse the command line and build."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options = parse_options(EngineOptions, parser)
    from export.engine_builder import build_engine

    build_engine(options)


if __name__ == "__main__":
    run(main)
