"""The project's commands under one name: ``regen COMMAND``, each a script that also runs by its path."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

from deploy.core.cli import run
from deploy.core.errors import OptionError

_LABEL = "Install the packages for labeling: pip install 'regen[label]'"
_ALL = "Training and export need PaddlePaddle and PaddleSeg: clone the project and run make setup."


@dataclass(frozen=True)
class Command:
    """A script of the project."""

    module: str
    """The module whose `main` runs."""
    summary: str
    """What it does, in one line."""
    install: str = ""
    """Hint for a missing package."""
    resumes: bool = False
    """Whether the command resumes an interrupted run."""


COMMANDS = {
    "infer": Command("deploy.trt_infer", "predict which macroblocks of a video are worth super-resolving"),
    "enhance": Command("deploy.enhance", "super-resolve the regions of a video that detection gains from", "", True),
    "worth": Command("labeling.worth", "test whether super-resolution is worth it for a video and a detector", _LABEL),
    "label": Command("labeling.make_labels", "label videos: make a dataset of importance levels", _LABEL, True),
    "merge": Command("labeling.merge_datasets", "merge datasets", _LABEL),
    "add-previous": Command("labeling.add_previous", "add previous frames' detections to a dataset", _LABEL, True),
    "check": Command("labeling.check", "check a dataset for problems", _LABEL),
    "train": Command("paddleseg_configs.training.train", "train a model on a dataset", _ALL, True),
    "val": Command("paddleseg_configs.training.val", "evaluate a trained model", _ALL),
    "predict": Command("paddleseg_configs.training.predict", "predict levels of images with a trained model", _ALL),
    "export": Command("export.export_onnx", "export a trained model to ONNX and check parity", _ALL),
    "export-upscaler": Command("export.export_upscaler", "export an upscaler to ONNX and check parity", _LABEL),
    "engine": Command("export.onnx2trt", "build a TensorRT engine from an ONNX model"),
    "utility": Command("labeling.evaluate_utility", "measure detection accuracy by share of blocks", _LABEL, True),
    "report": Command("labeling.make_report", "write a page about a dataset, its predictor and their utility", _LABEL),
    "compare": Command("paddleseg_configs.compare", "train and compare models of the ladder", _ALL, True),
    "check-ladder": Command("paddleseg_configs.check_ladder", "check that every model trains and converts", _ALL, True),
    "evaluate-labels": Command("labeling.evaluate_labels", "compare ways of labeling", _LABEL, True),
    "train-upscaler": Command("labeling.train_upscaler", "train or adapt an EDSR upscaler", _LABEL, True),
    "train-accmodel": Command("labeling.train_accmodel", "train AccMPEG's predictor", _LABEL, True),
    "predict-importance": Command("labeling.predict_importance", "predict importance with AccModel", _LABEL),
    "import-pickle": Command("labeling.import_pickle", "convert AccMPEG's or RegenHance's ground truth to npz", _LABEL),
    "demo": Command("labeling.demo", "run all stages on one clip (in a clone of the project)", _ALL, True),
    "doctor": Command("labeling.doctor", "show what works on this machine and how to fix the rest"),
}


def main() -> None:
    """Run the command that the command line names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: regen COMMAND [OPTIONS]; each command has --help\n")
        print("\n".join(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()))
        return
    command = COMMANDS.get(name)
    sys.argv = [f"regen {name}", *sys.argv[2:]]
    run(lambda: _run(name, command), resumes=command is not None and command.resumes)


def _run(name: str, command: Command | None) -> None:
    if command is None:
        raise OptionError(f"unknown command {name!r}", hint=f"Known: {', '.join(COMMANDS)}.")
    try:
        importlib.import_module(command.module).main()
    except ModuleNotFoundError as error:
        hint = command.install or f"Install it: pip install {error.name}"
        raise OptionError(f"regen {name} needs the package {error.name!r}, which is not installed", hint=hint) from None


if __name__ == "__main__":
    main()
