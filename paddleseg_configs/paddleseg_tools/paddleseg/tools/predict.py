"""Predict importance levels of images. See paddleseg_configs.training.predict."""

from deploy.core.cli import run
from paddleseg_configs.training.predict import main

if __name__ == "__main__":
    run(main)
