"""An exported upscaler on ONNX Runtime or OpenVINO."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.backends.base import usable_threads
from deploy.cards.upscaler_card import INPUT, MARGINS, METADATA_KEY, OUTPUT, UpscalerCard, read_upscaler_card
from deploy.core.closeable import Closing
from deploy.core.endless import require_an_end
from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.ranges import require_choice
from deploy.core.runtimes import import_onnxruntime

EMBEDDED = Path(__file__).parents[1] / "models" / "edsr_x3.onnx"
Mode = Literal["fast", "exact"]
Runtime = Literal["onnxruntime", "openvino"]
Margins = tuple[int, int, int, int]
"""Surroundings at the top, left, bottom and right, in pixels."""
NO_MARGINS: Margins = (0, 0, 0, 0)
_EXPORT_AGAIN = "Keep the .onnx and the .json of one export together, or export the upscaler again."
_TRIAL_PX = (24, 32)


class Upscaler(Closing):
    """Super-resolves frames and regions of frames.

    >>> with Upscaler() as upscaler:
    ...     upscaler(np.zeros((1, 20, 30, 3), np.uint8)).shape
    (1, 60, 90, 3)

    Args:
        path: an .onnx file of ``export/export_upscaler.py`` with its card beside it; None takes the embedded EDSR, x3.
        runtime: "onnxruntime", or "openvino" where that is installed: faster a pixel, but each new shape of a region
            takes twice as long once.
        threads: CPU threads; None takes one a CPU of this process.

    Raises:
        WeightsError: the file or its card is missing, broken, or they differ.
        OptionError: another runtime, one that is not installed, or less than one thread.
    """

    def __init__(
        self, path: str | Path | None = None, *, runtime: Runtime = "onnxruntime", threads: int | None = None
    ) -> None:
        require_choice("runtime", runtime, get_args(Runtime))
        self.path = EMBEDDED if path is None else Path(path)
        if not self.path.is_file():
            raise WeightsError(
                f"upscaler not found: {self.path}", hint="Use an .onnx file made by export/export_upscaler.py."
            )
        self.card = read_upscaler_card(self.path)
        require_an_end(self.path, "upscaler", self.path)
        self.threads = usable_threads(threads)
        if runtime == "openvino" and importlib.util.find_spec("openvino") is None:
            raise OptionError("openvino is not installed", hint="pip install openvino, or use onnxruntime.")
        self.runtime = runtime
        self._network: _Network | None = (_OpenVino if runtime == "openvino" else _OnnxRuntime)(
            self.path, self.card, self.threads
        )
        self._try()

    @property
    def scale(self) -> int:
        """Size of the result over that of the frame."""
        return self.card.scale

    def halo_px(self, mode: Mode) -> int:
        """The surroundings that a region needs.

        Raises:
            WeightsError: a pixel of this network depends on the whole frame.
            OptionError: another mode.
        """
        require_choice("mode", mode, get_args(Mode))
        if self.card.whole_frame:
            raise WeightsError(
                f"each pixel of {self.card.name!r} depends on the whole frame, so regions would differ from it",
                hint="Use an upscaler without global pooling or attention, or --budget 100%.",
            )
        return self.card.fast_halo_px if mode == "fast" else self.card.receptive_radius_px

    def __call__(self, images: NDArray[np.uint8], margins: Margins = NO_MARGINS) -> NDArray[np.uint8]:
        """Super-resolve.

        Args:
            images: (N, H, W, 3) uint8 RGB.
            margins: how much of them is only surroundings; where it is 0, there is the frame's border.

        Returns:
            (N, h * scale, w * scale, 3) uint8 RGB without the margins. The array is the caller's.

        Raises:
            WeightsError: the network fails, or gives something else.
        """
        if self._network is None:
            raise WeightsError(f"the upscaler {self.path} is closed", hint="Create a new Upscaler.")
        try:
            result = self._network(images, np.array(margins, np.int64))
        except Exception as error:  # the runtimes' exceptions have no base of their own
            reason = first_line(error)
            raise WeightsError(
                f"{self.path} failed on frames of {images.shape}: {reason}", hint=_EXPORT_AGAIN
            ) from None
        number, height, width = images.shape[:3]
        top, left, bottom, right = margins
        wanted = (number, (height - top - bottom) * self.scale, (width - left - right) * self.scale, 3)
        if result.shape != wanted or result.dtype != np.uint8:
            raise WeightsError(
                f"{self.path} makes {result.dtype} {result.shape} of frames of {images.shape}, where its card says "
                f"uint8 {wanted}",
                hint=_EXPORT_AGAIN,
            )
        return result

    def close(self) -> None:
        """Free the network. Closing twice is harmless."""
        self._network = None

    def _try(self) -> None:
        """Once through all paths: what cannot run fails here, by name."""
        trial = np.zeros((2, *_TRIAL_PX, 3), np.uint8)
        self(trial)
        self(trial, (1, 2, 3, 4))


class _Network(Protocol):
    def __init__(self, path: Path, card: UpscalerCard, threads: int) -> None: ...

    def __call__(self, images: NDArray[np.uint8], margins: NDArray[np.int64]) -> NDArray[np.uint8]: ...


class _OnnxRuntime:
    def __init__(self, path: Path, card: UpscalerCard, threads: int) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # it keeps one for each shape of a region
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            embedded = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise WeightsError(f"cannot load {path}: {first_line(error)}", hint="Export the upscaler again.") from None
        inputs, outputs = (
            [tensor.name for tensor in ends()] for ends in (self._session.get_inputs, self._session.get_outputs)
        )
        _require_ends(path, inputs, outputs)
        if embedded is not None and UpscalerCard.from_json(embedded, origin=f"{path} (embedded)") != card:
            raise WeightsError(f"the card next to {path} differs from the one embedded in it", hint=_EXPORT_AGAIN)

    def __call__(self, images: NDArray[np.uint8], margins: NDArray[np.int64]) -> NDArray[np.uint8]:
        result: NDArray[np.uint8] = self._session.run([OUTPUT], {INPUT: images, MARGINS: margins})[0]
        return result


class _OpenVino:
    def __init__(self, path: Path, card: UpscalerCard, threads: int) -> None:
        import openvino as ov

        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # its own default is bf16 on some CPUs, without a word
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": 300,  # of 5000, with which memory grows for as long as new shapes come
        }
        try:
            compiled = ov.Core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO cannot load {path}: {first_line(error)}", hint="Use --runtime onnxruntime for this file."
            ) from None
        _require_ends(path, *([tensor.any_name for tensor in ends] for ends in (compiled.inputs, compiled.outputs)))
        self._request: Any = compiled.create_infer_request()

    def __call__(self, images: NDArray[np.uint8], margins: NDArray[np.int64]) -> NDArray[np.uint8]:
        result = self._request.infer({INPUT: np.ascontiguousarray(images), MARGINS: margins}, share_inputs=True)
        output: NDArray[np.uint8] = result[0]
        return output


def _require_ends(path: Path, inputs: list[str], outputs: list[str]) -> None:
    if sorted(inputs) != sorted((INPUT, MARGINS)) or outputs != [OUTPUT]:
        raise WeightsError(
            f"{path} takes {inputs} and gives {outputs}, where an exported upscaler takes {[INPUT, MARGINS]} and gives "
            f"{[OUTPUT]}",
            hint=_EXPORT_AGAIN,
        )
