"""What the reader and training need, and adding and recalling do not: torch and transformers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agentmem.errors import MissingExtraError

READER, TRAIN = "reader", "train"
_PACKAGES = {
    READER: ("torch", "transformers", "huggingface_hub"),
    TRAIN: (
        "torch",
        "transformers",
        "huggingface_hub",
        "accelerate",
        "matplotlib",
        "zstandard",
        "onnx",
        "onnxscript",
    ),
}


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Explain what to install, if an import in this block finds that it is not.

    Args:
        extra: `READER` or `TRAIN`.
        what: What needs it, the subject of a sentence.

    Raises:
        MissingExtraError: a package of that extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES[extra]:
            raise
        raise MissingExtraError(
            f"{what} needs {package}: pip install 'latent-agentmem[{extra}]'", extra=extra
        ) from error
