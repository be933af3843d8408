"""A builder of PaddleSeg's components with readable errors and additional components."""

from __future__ import annotations

from typing import Any

import paddle
from paddleseg.cvlibs import SegBuilder
from paddleseg.utils.utils import CachedProperty

from deploy.core.errors import OptionError, RegenError, last_line
from paddleseg_configs.training.config.settings import Settings
from paddleseg_configs.training.data import augmentation as augmentation  # these register components
from paddleseg_configs.training.data import level_dataset as level_dataset
from paddleseg_configs.training.models import any_size as any_size
from paddleseg_configs.training.models import extra_models as extra_models
from paddleseg_configs.training.models import losses as losses
from paddleseg_configs.training.models.padding import pad_to_multiple
from paddleseg_configs.training.paddle_fixes.compat import apply_compat

apply_compat()


class LevelBuilder(SegBuilder):  # type: ignore[misc]
    """PaddleSeg's builder for a configuration reconciled with a dataset.

    Args:
        settings: the configuration.
        seed: seed of the initial weights.
    """

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        super().__init__(settings.config)
        self.seed = seed
        self.manifest = settings.manifest

    @CachedProperty  # type: ignore[untyped-decorator]
    def model(self) -> paddle.nn.Layer:
        """The model. Parameters are named as in a fresh process, since optimizer states are keyed by their names."""
        paddle.seed(self.seed)
        with paddle.utils.unique_name.guard():
            model: paddle.nn.Layer = self.build_component(self.config.model_cfg)
        size = {"height_px": self.manifest.frame_height_px, "width_px": self.manifest.frame_width_px}
        pad_to_multiple(model, **size)
        return model

    @CachedProperty  # type: ignore[untyped-decorator]
    def loss(self) -> dict[str, list[Any]]:
        """Loss functions and their coefficients, as listed in the configuration."""
        section = self.config.loss_cfg
        return {"coef": section["coef"], "types": [self.build_component(item) for item in section["types"]]}

    def make_optimizer(self) -> tuple[Any, Any]:
        """The learning-rate schedule and the optimizer that follows it.

        Raises:
            OptionError: the configuration of one of them is wrong.
        """
        try:
            schedule, optimizer = self.lr_scheduler, self.optimizer
        except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = last_line(error)
            raise OptionError(
                f"cannot build the optimizer: {reason}", hint="Check lr_scheduler and optimizer in --config."
            ) from None
        if isinstance(schedule, paddle.optimizer.lr.ReduceOnPlateau):
            raise OptionError("lr_scheduler ReduceOnPlateau is not supported", hint="Use PolynomialDecay.")
        return schedule, optimizer

    def build_component(self, cfg: dict[str, Any]) -> Any:
        """Build one component.

        Raises:
            RegenError: raised by the component, or an OptionError if its configuration is invalid.
        """
        try:
            return super().build_component(cfg)
        except RegenError:
            raise
        except RuntimeError as error:
            if isinstance(error.__context__, RegenError):
                raise error.__context__ from None
            reason = last_line(error)
            raise OptionError(
                f"cannot build {cfg.get('type')}: {reason}", hint="Check that part of --config."
            ) from None

    @classmethod
    def show_msg(cls, name: str, cfg: dict[str, Any]) -> None:
        """Print nothing: PaddleSeg prints every section of the configuration here."""


def loss_terms(builder: LevelBuilder, num_logits: int) -> list[tuple[Any, float]]:
    """Pair each output of the model with a loss function and a coefficient; the last of a shorter list is repeated.

    For example, ``coef: [1, 0.4]`` with one loss type weights the main output by 1 and each auxiliary output by 0.4.

    Raises:
        OptionError: more losses than outputs.
    """
    functions, coefficients = builder.loss["types"], builder.loss["coef"]
    if len(coefficients) > num_logits:
        raise OptionError(
            f"loss.coef={coefficients} has {len(coefficients)} entries, but the model has {num_logits} outputs",
            hint="Set one coefficient per output; the last is repeated.",
        )
    missing = num_logits - len(coefficients)
    functions = [*functions, *functions[-1:] * missing]
    return list(zip(functions, [*coefficients, *coefficients[-1:] * missing], strict=True))
