"""Train a model. See paddleseg_configs.training.train."""

from deploy.core.cli import run
from paddleseg_configs.training.train import main

if __name__ == "__main__":
    run(main, resumes=True)
