r"""Train a model on a dataset of importance levels.

    python -m paddleseg.tools.train --config paddleseg_configs/mobileseg_mobilenetv3_small_x035.yml --do_eval

After a crash, a kill or Ctrl-C, run the same command again to resume from the newest checkpoint in --save_dir. On the
CPU, the result is bit-for-bit the same as without interruption.

Several processes can share the work, each with --batch_size frames per iteration:

    python -m paddle.distributed.launch --nproc_per_node 2 --backend gloo \
        paddleseg_configs/training/train.py --config ...
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from deploy.core.cli import run
from paddleseg_configs.training.arguments import make_parser, overrides_of, positive_float, positive_int


def parse() -> Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__ or "")
    add = parser.add_argument
    add("--iters", type=positive_int, help="total iterations")
    add("--batch_size", type=positive_int, help="frames per iteration")
    add("--learning_rate", type=positive_float, help="peak learning rate")
    add("--save_interval", type=positive_int, default=200, help="iterations between checkpoints (default: %(default)s)")
    add("--save_dir", type=Path, help="folder for the results (default: runs/models/NAME_OF_CONFIG)")
    add("--init", metavar="WEIGHTS", help="initial weights: general (the included predictor's), a file or a URL")
    add("--resume_model", type=Path, metavar="DIR", help="resume from this checkpoint, whatever configuration it has")
    add(
        "--keep_checkpoint_max",
        type=positive_int,
        default=2,
        help="number of checkpoints to keep (default: %(default)s)",
    )
    add(
        "--num_workers",
        type=int,
        default=0,
        help="frame-loading processes (default: %(default)s, load in this process)",
    )
    add("--do_eval", action="store_true", help="evaluate at every checkpoint and save the best model")
    add("--patience", type=positive_int, help="with --do_eval: stop after N evaluations without improvement")
    add("--use_vdl", action="store_true", help="write event files for VisualDL into SAVE_DIR/vdl")
    add("--log_iters", type=positive_int, default=10, help="iterations between log lines (default: %(default)s)")
    add("--seed", type=int, default=0, help="random seed of weights, order and augmentation (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Parse the command line and train."""
    arguments = parse()
    from paddleseg_configs.training.config.device import set_device
    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.run.checkpoint import BEST, PARAMETERS
    from paddleseg_configs.training.run.loop import TrainOptions, train

    set_device(arguments.device)
    chosen = {
        "iters": arguments.iters,
        "batch_size": arguments.batch_size,
        "lr_scheduler.learning_rate": arguments.learning_rate,
    }
    if arguments.init:
        chosen["model.pretrained"] = arguments.init
    overrides = [(key, repr(value)) for key, value in chosen.items() if value is not None]
    settings = load_settings(
        arguments.config, dataset=arguments.dataset, overrides=[*overrides_of(arguments.opts), *overrides]
    )
    options = TrainOptions(
        save_dir=arguments.save_dir or Path("runs/models") / arguments.config.stem,
        save_interval=arguments.save_interval,
        keep_checkpoint_max=arguments.keep_checkpoint_max,
        log_iters=arguments.log_iters,
        num_workers=max(0, arguments.num_workers),
        do_eval=arguments.do_eval,
        seed=arguments.seed,
        resume_model=arguments.resume_model,
        patience=arguments.patience,
        use_vdl=arguments.use_vdl,
    )
    print(f"last checkpoint: {train(settings, options)}")
    best = options.save_dir / BEST / PARAMETERS
    print(f"weights to export: {best}" if best.is_file() else "no best_model: only --do_eval saves one")


if __name__ == "__main__":
    run(main, resumes=True)
