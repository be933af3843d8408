"""The project's commands under one name: ``regen COMMAND``, each a script that also runs by its path."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

from deploy.core.cli import run
from deploy.core.errors import OptionError

_LABEL = "Install what labeling needs: pip install 'regen[label]'"
_ALL = (
    "Training and export need PaddlePaddle and PaddleSeg: clone the project and run make setup, which has their pins."
)


@dataclass(frozen=True)
class Command:
    """A script of the project."""

    module: str
    """Whose `main` is run."""
    summary: str
    """What it does, in one line."""
    install: str = ""
    """What to do if a package is missing."""
    resumes: bool = False
    """Whether the same command goes on where it was interrupted."""


COMMANDS = {
    "infer": Command("deploy.trt_infer", "predict which macroblocks of a video are worth super-resolving"),
    "enhance": Command("deploy.enhance", "super-resolve the regions of a video that are worth it", "", True),
    "worth": Command("labeling.worth", "is super-resolution worth it for a video and a detector?", _LABEL),
    "label": Command("labeling.make_labels", "videos to a dataset of importance levels", _LABEL, True),
    "merge": Command("labeling.merge_datasets", "several datasets as one", _LABEL),
    "add-previous": Command("labeling.add_previous", "add detections of the frames before to a dataset", _LABEL, True),
    "check": Command("labeling.check", "does a dataset keep the contract?", _LABEL),
    "train": Command("paddleseg_configs.training.train", "train a model on a dataset", _ALL, True),
    "val": Command("paddleseg_configs.training.val", "evaluate a trained model", _ALL),
    "predict": Command("paddleseg_configs.training.predict", "predict levels of images with a trained model", _ALL),
    "export": Command("export.export_onnx", "a trained model to ONNX, parity checked", _ALL),
    "export-upscaler": Command("export.export_upscaler", "an upscaler to ONNX, parity checked", _LABEL),
    "engine": Command("export.onnx2trt", "an ONNX model to a TensorRT engine"),
    "utility": Command("labeling.evaluate_utility", "detection accuracy by share of blocks enhanced", _LABEL, True),
    "report": Command("labeling.make_report", "a page about a dataset, its predictor and what they are worth", _LABEL),
    "compare": Command("paddleseg_configs.compare", "train and compare models of the ladder", _ALL, True),
    "check-ladder": Command("paddleseg_configs.check_ladder", "does every model train and convert?", _ALL, True),
    "evaluate-labels": Command("labeling.evaluate_labels", "compare ways of labelling", _LABEL, True),
    "train-upscaler": Command("labeling.train_upscaler", "train or adapt an EDSR upscaler", _LABEL, True),
    "train-accmodel": Command("labeling.train_accmodel", "train AccMPEG's predictor", _LABEL, True),
    "predict-importance": Command("labeling.predict_importance", "predict importance with AccModel", _LABEL),
    "import-pickle": Command("labeling.import_pickle", "ground truth of AccMPEG or RegenHance to npz", _LABEL),
    "demo": Command("labeling.demo", "all stages on one clip (in a clone of the project)", _ALL, True),
    "doctor": Command("labeling.doctor", "what works on this machine, and how to fix what does not"),
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
