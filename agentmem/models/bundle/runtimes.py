"""The libraries that can compute the networks of a bundle, by name.

What they store and find is the same. NumPy is the default: it is installed with agentmem, and it is
there in a tenth of the time. Torch, which the networks are trained in, is the reference.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, get_args

from agentmem.errors import InputError, MissingExtraError

Runtime = Literal["numpy", "torch"]


def check_runtime(runtime: str) -> Runtime:
    """The runtime of that name, if this installation has it; nothing is imported.

    Raises:
        InputError: there is none of that name.
        MissingExtraError: it needs torch, which is not installed.
    """
    if runtime not in get_args(Runtime):
        raise InputError(f"runtime must be one of {get_args(Runtime)}, got {runtime!r}")
    if runtime == "torch" and find_spec("torch") is None:
        raise MissingExtraError(
            "runtime 'torch' needs torch: pip install 'latent-agentmem[reader]', or leave "
            "the runtime out",
            extra="reader",
        )
    return "torch" if runtime == "torch" else "numpy"
