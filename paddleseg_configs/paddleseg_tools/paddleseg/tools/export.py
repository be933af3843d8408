"""Write a Paddle inference model. See paddleseg_configs.training.export."""

from deploy.core.cli import run
from paddleseg_configs.training.export import main

if __name__ == "__main__":
    run(main)
