"""Weight files: Paddle's own are read exactly, anything else is refused without being run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.core.errors import WeightsError
from paddleseg_configs.training.paddle_fixes.weights import load_weights, read_state


class _Runs:
    """Unpickles to the result of a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "make",
    [
        lambda marker: {"w": _Runs(os.system, f"touch {marker}")},
        lambda marker: {"w": _Runs(eval, f"open({str(marker)!r}, 'w')")},
        lambda marker: {"w": _Runs(Path.touch, marker)},
        lambda marker: _Runs(exec, f"open({str(marker)!r}, 'w')"),
    ],
)
def test_malicious_pickles_are_refused_and_not_run(tmp_path: Path, make: Any) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps(make(marker)))
    with pytest.raises(WeightsError, match="not a safe Paddle weight file"):
        read_state(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"w": np.array([object()])}),
        pickle.dumps({"w": np.zeros(2, [("a", "f4"), ("b", "O")])}),
        pickle.dumps({"w": {1, 2}}),
        pickle.dumps({"w": np.zeros(8, np.float32)})[:-9],
    ],
)
def test_damaged_and_strange_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_state(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read weights"):
        read_state(tmp_path / "absent.pdparams")


@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_states_come_back_exactly(tmp_path: Path, protocol: int) -> None:
    state = {
        "c": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(4, dtype=">i4"),
        "scalar": np.float64(0.25),
        "empty": np.zeros((0, 3), np.float32),
        "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.1},
    }
    path = tmp_path / "model.pdopt"
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    found = read_state(path)
    assert found.keys() == state.keys()
    assert found["LR_Scheduler"] == state["LR_Scheduler"]
    for name in ("c", "fortran", "big_endian", "scalar", "empty"):
        assert np.array_equal(found[name], state[name])


def test_paddle_files_and_paddle_load(tmp_path: Path) -> None:
    import paddle

    from paddleseg_configs.training.paddle_fixes.compat import apply_compat

    apply_compat()
    layer, other = paddle.nn.Linear(3, 4), paddle.nn.Linear(3, 4)
    path = tmp_path / "model.pdparams"
    paddle.save(layer.state_dict(), str(path))
    load_weights(other, path)
    assert np.array_equal(layer.weight.numpy(), other.weight.numpy())
    assert np.array_equal(paddle.load(str(path))["bias"], layer.bias.numpy())
    with pytest.raises(WeightsError, match="the model needs"):
        load_weights(paddle.nn.Linear(3, 5), path)
    with pytest.raises(WeightsError, match="lacks"):
        load_weights(paddle.nn.Sequential(layer), path)
    path.write_bytes(pickle.dumps(_Runs(os.getcwd)))
    with pytest.raises(WeightsError):
        paddle.load(str(path))
