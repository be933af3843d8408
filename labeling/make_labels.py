"""Label videos: how much does each macroblock of each frame matter to an object detector?

    python labeling/make_labels.py VIDEO [VIDEO ...] --out DIR

Writes a dataset folder for PaddleSeg: origin_images/, labels/ (palette PNGs of importance levels), train.txt, val.txt,
test.txt, labels.txt, importance/ (raw importance, npz) and manifest.json. After an interruption, run the same command
again to resume.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.labels.options import LabelOptions


def main() -> None:
    """Parse the command line and label."""
    options = tyro.cli(LabelOptions, description=__doc__)
    from labeling.labels.label_videos import label_videos

    label_videos(options)


if __name__ == "__main__":
    run(main, resumes=True)
