"""Predict importance levels of images and write them as palette PNGs.

    python -m paddleseg.tools.predict --config CONFIG --model_path model.pdparams --image_path FOLDER --save_dir OUT

--image_path is an image, a folder (searched for images, subfolders included), or a text file with a path on each line.
Images must have the size of the dataset's frames.
"""

from __future__ import annotations

from pathlib import Path

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import IMAGE_SUFFIXES
from labeling.dataset.lists import read_lines
from paddleseg_configs.training.arguments import add_weights, make_parser, overrides_of


def find_images(source: Path) -> list[tuple[Path, Path]]:
    """Find the images that `source` names, each with the path of its prediction below the output folder.

    Raises:
        InputError: there are none.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        pairs = [(path, path.relative_to(source)) for path in found]
    elif source.suffix.lower() == ".txt" and source.is_file():
        lines = read_lines(source)
        found = [source.parent / line.split(" ")[0] for line in lines if line.strip()]
        pairs = [(path, Path(f"{number:06d}_{path.name}")) for number, path in enumerate(found)]
    else:
        pairs = [(source, Path(source.name))] if source.is_file() else []
    if not pairs:
        raise InputError(f"no images in {source}", hint=f"Use a file, list or folder of {sorted(IMAGE_SUFFIXES)}.")
    return [(path, Path(f"{name}.levels.png")) for path, name in pairs]


def main() -> None:
    """Parse the command line and predict."""
    parser = make_parser(__doc__ or "")
    add_weights(parser)
    parser.add_argument("--image_path", type=Path, required=True, help="image, folder or list")
    parser.add_argument("--save_dir", type=Path, required=True, metavar="DIR", help="folder for the predictions")
    arguments = parser.parse_args()
    images = find_images(arguments.image_path)
    from paddleseg_configs.training.config.device import set_device
    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.models.trained_model import load_trained
    from paddleseg_configs.training.run.prediction import write_predictions

    set_device(arguments.device)
    settings = load_settings(arguments.config, dataset=arguments.dataset, overrides=overrides_of(arguments.opts))
    write_predictions(settings, load_trained(settings, arguments.model_path), images, arguments.save_dir)


if __name__ == "__main__":
    run(main)
