"""Checks a folder with a model before anything in it is loaded: it must be data, and of its size.

A model from elsewhere may bring Python code, which Hugging Face's libraries run if they are told to
trust it, or weights in a format that runs code when it is read. And a few bytes of configuration
may ask for more memory than the machine has. None of that is needed, so none of it is taken.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from agentmem.errors import ModelError

# Formats that are read by unpickling, or by other means that may run code.
_UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.h5", "*.msgpack")
_MAX_JSON = 2**27
# What the size of a model follows from, in the configurations of many of them.
_SIZE = re.compile(
    r"(hidden|intermediate|vocab|embedding|ffn|head|key)_(size|dims?)|(slot_)?dims?"
    r"|d_model|d_ff|d_kv|n_embd|n_inner|codes"
)
_COUNT = re.compile(
    r"(num|n)_(\w+_)?(layers?|heads?|experts|blocks)|(encoder_|decoder_)?layers|heads|depth"
)
_ALWAYS_SIZE, _ALWAYS_COUNT = 4096, 256


def require_plain(folder: str | os.PathLike[str]) -> None:
    """Check that a folder holds data only, and no more than its weights say.

    Raises:
        ModelError: it asks for code of its own, its weights are no safetensors files, or its
            configuration is larger than its weights.
    """
    folder = Path(folder)
    for home in (folder, *_modules(folder)):
        for file in sorted(home.glob("*.json")):
            _require_no_code(file)
        weights = sorted(home.glob("*.safetensors"))
        unsafe = [file.name for kind in _UNSAFE for file in sorted(home.glob(kind))]
        if unsafe and not weights:
            raise ModelError(
                f"{str(home)!r} has its weights as {unsafe[0]!r}, a format that may run code when "
                f"it is read: save them as safetensors, with save_pretrained of a version of "
                f"transformers that does"
            )
        if weights:
            _require_size(home, weights)


def require_size(folder: Path) -> None:
    """Check that a configuration is not larger than the weights beside it, if there are any.

    Raises:
        ModelError: it is.
    """
    _require_size(folder, sorted(folder.glob("*.safetensors")))


def _modules(folder: Path) -> list[Path]:
    """The folders of the modules of a sentence-transformers model."""
    return [home for home in sorted(folder.glob("[0-9]*_*")) if home.is_dir()]


def _require_no_code(file: Path) -> None:
    content = _read(file)
    if isinstance(content, dict) and "auto_map" in content:
        raise ModelError(
            f"{file.name} in {str(file.parent)!r} asks for code of its own, which is never run: "
            f"use a model whose architecture transformers knows"
        )
    for module in content if isinstance(content, list) and file.name == "modules.json" else ():
        kind = module.get("type") if isinstance(module, dict) else None
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"modules.json in {str(file.parent)!r} asks for a class {kind!r:.100}, which is "
                f"not one of sentence-transformers and is never run"
            )


def _require_size(folder: Path, weights: list[Path]) -> None:
    content = _read(folder / "config.json")
    if not isinstance(content, dict) or not weights:
        return
    largest, tensors = _ALWAYS_SIZE, _ALWAYS_COUNT
    damaged = None
    for file in weights:
        shapes = _shapes(file)
        if shapes is None:
            damaged = file.name
            continue
        tensors = max(tensors, len(shapes))
        largest = max(largest, *(max(shape, default=1) for shape in shapes), 1)
    for name, value in _numbers(content):
        most = largest if _SIZE.fullmatch(name) else tensors if _COUNT.fullmatch(name) else None
        if most is not None and not 0 <= value <= most:
            if damaged is not None:
                raise ModelError(
                    f"{damaged} in {str(folder)!r} does not fit its config.json: it is damaged, or "
                    f"no safetensors file"
                )
            raise ModelError(
                f"config.json in {str(folder)!r} has {name} = {value!r:.40}, but its weights have "
                f"no axis longer than {largest}, in {tensors} tensors at most: nothing was loaded"
            )


def _numbers(content: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The integers of a configuration and of those nested in it, such as of a text model."""
    for name, value in content.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield name, value
        elif isinstance(value, dict):
            yield from _numbers(value)


def _shapes(file: Path) -> list[list[int]] | None:
    """The shapes of the tensors in a file; None if it is damaged, which its reader will say."""
    try:
        with safe_open(file, framework="numpy") as opened:
            return [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118
    except (SafetensorError, OSError):
        return None


def _read(file: Path) -> Any:
    """What a JSON file says; None if there is none, or it is none, which its reader will say."""
    try:
        if file.stat().st_size > _MAX_JSON:
            raise ModelError(f"{str(file)!r} has more than {_MAX_JSON:,} bytes: nothing was loaded")
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
