"""Read ``.pdparams`` and ``.pdopt`` files without running code from them.

Paddle stores state as a pickle, and ``paddle.load`` unpickles it without restriction: an untrusted file can run
any code. Here, files are read by `labeling.core.plain_pickle`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from deploy.core.errors import WeightsError
from labeling.core.plain_pickle import load_plain

NAME_TABLE = "StructuredToParameterName@@"
"""Key under which Paddle stores the parameters' internal names."""


def read_state(path: Path) -> dict[str, Any]:
    """Read a file written by ``paddle.save`` of a state dict.

    Returns:
        name -> array, number or nested dict; without Paddle's name table.

    Raises:
        WeightsError: missing, damaged, or with contents other than arrays, numbers and text.
    """
    try:
        state = load_plain(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror}", hint="Check the path.") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a safe Paddle weight file: {error}",
            hint="Use a .pdparams file written by paddle.save(layer.state_dict()), from a source that you trust.",
        ) from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise WeightsError(f"{path} contains a {type(state).__name__}, not a state dict", hint="Use model.pdparams.")
    state.pop(NAME_TABLE, None)
    return state


def load_weights(model: Any, path: Path) -> None:
    """Load every parameter and statistic of `model`, a ``paddle.nn.Layer``.

    Raises:
        WeightsError: the file cannot be used, or a parameter is missing or has the wrong shape.
    """
    state, own = read_state(path), model.state_dict()
    hint = "Use the configuration and number of levels that the weights were trained with."
    missing = sorted(set(own) - set(state))
    if missing:
        raise WeightsError(f"{path} lacks {len(missing)} parameters, the first is {missing[0]}", hint=hint)
    for name, parameter in own.items():
        shape = np.shape(state[name])
        if shape != tuple(parameter.shape):
            raise WeightsError(f"{path}: {name} is {shape}, but the model needs {tuple(parameter.shape)}", hint=hint)
    model.set_state_dict({name: state[name] for name in own})
