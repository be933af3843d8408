"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.base import usable_threads
from deploy.cards.model_card import METADATA_KEY, ModelCard
from deploy.core.closeable import Closing
from deploy.core.endless import require_an_end
from deploy.core.errors import WeightsError
from deploy.core.runtimes import import_onnxruntime, open_session

ort = import_onnxruntime()
_TYPES: dict[type[np.generic], str] = {np.float32: "tensor(float)", np.uint8: "tensor(uint8)"}
_EXPORT_AGAIN = "Keep the .onnx and the .json of one export together, or export the model again."


class OnnxRuntimeBackend(Closing):
    """Runs the .onnx file as it is, in the precision it was exported in.

    Args:
        model: the .onnx file.
        card: its model card.
        threads: CPU threads; None takes one a CPU of this process.
        spinning: idle threads poll for work: faster on an idle machine; beside busy neighbors two such threads are
            slower than one.

    Raises:
        WeightsError: the file cannot be loaded, or differs from its card.
    """

    name = "onnxruntime"

    def __init__(self, *, model: Path, card: ModelCard, threads: int | None = None, spinning: bool = False) -> None:
        self.threads = usable_threads(threads)
        self.precision = card.precision.partition("-")[0]
        unit = "thread" if self.threads == 1 else "threads"
        self.description = f"onnxruntime {ort.__version__} (CPU, {self.threads} {unit}, {self.precision})"
        self._model, self._card = model, card
        self._session = _load(model, self.threads, spinning=spinning)
        try:
            _check_embedded_card(self._session, card, model)
            _check_input(self._session, card, model)
            _check_output(self._session, card, model)
        except UnicodeDecodeError as error:
            raise WeightsError(
                f"{model} contains a name that is not valid text ({error})", hint=_EXPORT_AGAIN
            ) from None

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute the output; see `Backend.run`. A model of fixed batch size takes the frames one by one."""
        chunks = [batch] if self._card.dynamic_batch else [batch[i : i + 1] for i in range(len(batch))]
        return np.concatenate([self._run(chunk) for chunk in chunks]) if len(chunks) > 1 else self._run(chunks[0])

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            (output,) = self._session.run([self._card.output_name], {self._card.input_name: batch})
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise WeightsError(f"{self._model} failed on a {batch.shape} batch: {error}", hint=_EXPORT_AGAIN) from error
        expected = (len(batch), *self._card.for_batch(batch.shape).output_shape)
        if output.shape != expected:
            raise WeightsError(
                f"{self._model} returned shape {output.shape}, but its card says {expected}", hint=_EXPORT_AGAIN
            )
        result: NDArray[Any] = output
        return result


def _load(model: Path, threads: int, *, spinning: bool) -> Any:
    require_an_end(model, "predictor", model)
    try:
        return open_session(model, threads, spinning=spinning)
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise WeightsError(f"cannot load {model}: {error}", hint="Export the model again.") from error


def _check_embedded_card(session: Any, card: ModelCard, model: Path) -> None:
    embedded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if embedded is not None and ModelCard.from_json(embedded, origin=f"{model} (embedded)") != card:
        raise WeightsError(f"the model card next to {model} differs from the one embedded in it", hint=_EXPORT_AGAIN)


def _check_input(session: Any, card: ModelCard, model: Path) -> None:
    inputs = session.get_inputs()
    names = [tensor.name for tensor in inputs]
    if names != [card.input_name]:
        _refuse(model, "inputs", names, [card.input_name])
    if inputs[0].type != _TYPES[card.input_type]:
        _refuse(model, "input type", inputs[0].type, _TYPES[card.input_type])
    frame: list[int | None] = [None, None, card.num_channels] if card.any_size else [*card.input_shape]
    _check_shape(model, "input", inputs[0].shape, [None if card.dynamic_batch else 1, *frame])


def _check_output(session: Any, card: ModelCard, model: Path) -> None:
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    if card.output_name not in outputs:
        _refuse(model, "outputs", sorted(outputs), [card.output_name])
    tensor = outputs[card.output_name]
    if tensor.type != _TYPES[card.output_type]:
        _refuse(model, "output type", tensor.type, _TYPES[card.output_type])
    frame: list[int | None] = [None, None] if card.any_size else [*card.output_shape]
    _check_shape(model, "output", tensor.shape, [None, *frame])


def _check_shape(model: Path, what: str, shape: list[int | str | None], expected: list[int | None]) -> None:
    """Compare a declared shape; symbolic dimensions of the file fit anything, None in `expected` any batch.

    A fixed input batch where the card promises a free one is refused: frames would fail later.
    """
    fits = len(shape) == len(expected) and all(
        not isinstance(size, int) or size == wanted or (wanted is None and what == "output")
        for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        _refuse(model, f"{what} shape", shape, expected)


def _refuse(model: Path, what: str, found: object, expected: object) -> None:
    raise WeightsError(f"{model} does not match its card: {what} {found}, the card says {expected}", hint=_EXPORT_AGAIN)
