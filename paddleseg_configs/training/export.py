"""Write a trained model as a Paddle inference model: ``model.json`` and ``model.pdiparams``.

    python -m paddleseg.tools.export --config CONFIG --model_path model.pdparams --save_dir OUT

Its input ``x`` is (batch, 3, H, W) float32 of the dataset's frame size, its output (batch, num_levels, H, W) logits.
For an ONNX file with its model card, use ``python export/export_onnx.py``.
"""

from __future__ import annotations

from pathlib import Path

from deploy.core.cli import run
from paddleseg_configs.training.arguments import add_weights, make_parser, overrides_of


def main() -> None:
    """Parse the command line and export."""
    parser = make_parser(__doc__ or "")
    add_weights(parser)
    parser.add_argument("--save_dir", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument("--batch", choices=("1", "dynamic"), default="dynamic", help="default: %(default)s")
    arguments = parser.parse_args()
    from paddleseg_configs.training.config.device import set_device
    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.models.inference_model import save_inference_model
    from paddleseg_configs.training.models.trained_model import load_trained

    set_device(arguments.device)
    settings = load_settings(arguments.config, dataset=arguments.dataset, overrides=overrides_of(arguments.opts))
    model = load_trained(settings, arguments.model_path)
    save_inference_model(model, settings.manifest, arguments.save_dir, dynamic_batch=arguments.batch == "dynamic")
    print(f"wrote {arguments.save_dir / 'model.json'} and model.pdiparams")


if __name__ == "__main__":
    run(main)
