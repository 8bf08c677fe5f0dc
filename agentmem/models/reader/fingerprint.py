"""The fingerprint of what makes a reader's states: language model, adapter, prompt and format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import torch

from agentmem.models.reader.compressed_packing import COMPRESSED_PACKING
from agentmem.models.reader.packing import PACKING

# Parts of a configuration that change no number.
_BESIDE = ("_name_or_path", "transformers_version", "architectures")


def states_fingerprint(lm: Any, prefix: Sequence[int], ratio: int = 1) -> str:
    """The fingerprint of states, 64 hex digits; another one means other states.

    All weights are read, which takes tenths of a second for a small model. They are compared with
    other versions of themselves, not defended against forgery: a CRC-32 of each tensor is enough.

    Args:
        lm: The language model, with a reader's adapter in its layers.
        prefix: Token ids before each memory.
        ratio: Tokens per kept state.
    """
    digest = hashlib.sha256()
    config = {key: value for key, value in lm.config.to_dict().items() if key not in _BESIDE}
    about: dict[str, Any] = {"packing": PACKING, "prefix": list(prefix), "config": config}
    if ratio > 1:
        about |= {"packing": COMPRESSED_PACKING, "ratio": ratio}
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    for name, tensor in sorted(lm.model.state_dict().items()):
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        line = f"{name} {tensor.dtype} {tuple(tensor.shape)} {crc32(raw)}\n"
        digest.update(line.encode())
    return digest.hexdigest()
