"""The weights in a network's folder as NumPy arrays, which have no bfloat16 of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from agentmem.errors import ModelError, ModelNotFoundError

FILE = "model.safetensors"

Weights = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

_FLOATS: Mapping[str, type[np.generic]] = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
_INTEGERS: Mapping[str, type[np.generic]] = {
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
}


def load_weights(folder: str | Path, shapes: Shapes, tied: tuple[str, ...] = ()) -> Weights:
    """Read weights, in float32 whatever they were saved in; integers keep their type.

    Args:
        folder: The network's folder.
        shapes: The shape of every array.
        tied: Names of weights that are another one under a second name; they are not needed.

    Raises:
        ModelNotFoundError: the folder has no weights.
        ModelError: they are damaged, or of other names, shapes or types.
    """
    file = Path(folder) / FILE
    try:
        found = deserialize(file.read_bytes())
        weights = {name: _array(given) for name, given in found if name not in tied}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(f"no model in {str(folder)!r}: it has no {FILE}") from error
    except (SafetensorError, KeyError) as error:
        raise _misfit(folder) from error
    if {name: weight.shape for name, weight in weights.items()} != dict(shapes):
        raise _misfit(folder)
    return weights


def below(weights: Weights, prefix: str) -> Weights:
    """Those whose names begin with a prefix and a dot, under the rest of their names."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): weight
        for name, weight in weights.items()
        if name.startswith(start)
    }


def in_double(weights: Weights) -> Weights:
    """The same numbers in float64."""
    return {
        name: weight.astype(np.float64) if weight.dtype.kind == "f" else weight
        for name, weight in weights.items()
    }


def _misfit(folder: str | Path) -> ModelError:
    return ModelError(f"{FILE} in {str(folder)!r} does not fit its config.json")


def _array(given: Mapping[str, Any]) -> NDArray[Any]:
    """An array from a name of its type, a shape, and little-endian bytes.

    Raises:
        KeyError: the type is none of a network's.
    """
    kind, data, shape = given["dtype"], given["data"], given["shape"]
    if kind == "BF16":
        # The upper half of a float32.
        bits = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if kind in _INTEGERS:
        return np.frombuffer(data, dtype=_INTEGERS[kind]).reshape(shape)
    floats = np.frombuffer(data, dtype=_FLOATS[kind]).reshape(shape)
    return np.asarray(floats, dtype=np.float32)
