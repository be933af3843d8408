"""Evaluate a trained model on a split of a dataset.

    python -m paddleseg.tools.val --config CONFIG --model_path runs/models/NAME/best_model/model.pdparams --json FILE

All metrics are over macroblocks, on logits averaged as in deployment. mean_iou, pixel_accuracy,
mean_level_error and quadratic_kappa compare levels; top_block_recall is the share of the 20 % most important
macroblocks that the model would select; rank_correlation measures how well it orders all of them.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.core.cli import run
from paddleseg_configs.training.arguments import add_weights, make_parser, overrides_of, positive_int


def main() -> None:
    """Parse the command line, evaluate, print a table."""
    parser = make_parser(__doc__ or "")
    add_weights(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="val", help="default: %(default)s")
    parser.add_argument("--batch_size", type=positive_int, default=4, help="frames per batch (default: %(default)s)")
    parser.add_argument("--num_workers", type=int, default=0, help="frame-loading processes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the metrics to this file")
    arguments = parser.parse_args()
    from deploy.core.files import write_text
    from paddleseg_configs.training.config.device import set_device
    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.models.trained_model import load_trained, split_dataset
    from paddleseg_configs.training.run.evaluation import evaluate

    set_device(arguments.device)
    settings = load_settings(arguments.config, dataset=arguments.dataset, overrides=overrides_of(arguments.opts))
    model, dataset = load_trained(settings, arguments.model_path), split_dataset(settings, arguments.split)
    workers = max(0, arguments.num_workers)
    result = evaluate(model, dataset, batch_size=arguments.batch_size, num_workers=workers)
    print(result.table())
    if arguments.json:
        record = {"split": arguments.split, "manifest_sha256": settings.manifest_sha256, **result.as_json()}
        write_text(arguments.json, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
