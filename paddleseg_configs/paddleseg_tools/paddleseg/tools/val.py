"""Evaluate a model. See paddleseg_configs.training.val."""

from deploy.core.cli import run
from paddleseg_configs.training.val import main

if __name__ == "__main__":
    run(main)
