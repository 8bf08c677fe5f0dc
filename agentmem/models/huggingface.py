"""Hugging Face models already on this machine: found without network access or progress bars.

Whatever is loaded goes through here, so that no code of a model is ever run, nor asked for on
standard input, and its weights are safetensors files; see `agentmem.models.plain`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers.utils import logging

from agentmem.models.plain import require_plain


def local_folder(name: str | os.PathLike[str]) -> str:
    """The folder of a model.

    transformers itself contacts the network for a name, even when told to use local files only.

    Args:
        name: Its folder, or its name if it has been downloaded before.

    Raises:
        OSError: no model of that name has been downloaded.
        ValueError: it is not a valid name.
    """
    name = os.fspath(name)
    if os.path.isdir(name):
        return name
    found = try_to_load_from_cache(name, "config.json")
    if not isinstance(found, str):
        raise OSError("neither a folder nor a model in the cache")
    return os.path.dirname(found)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers: a library does not print."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_tokenizer(folder: str | os.PathLike[str]) -> Any:
    """The tokenizer in a folder; no code from there is run.

    Raises:
        ModelError: it needs code of its own.
        Exception: what transformers raises, if there is none.
    """
    from transformers import AutoTokenizer

    require_plain(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_causal_lm(folder: str | os.PathLike[str], dtype: torch.dtype) -> Any:
    """The causal language model in a folder, from safetensors files; no code from there is run.

    Raises:
        ModelError: it needs code of its own, its weights are of another kind, or its configuration
            does not fit them.
        Exception: what transformers raises, if there is none.
    """
    from transformers import AutoModelForCausalLM

    require_plain(folder)
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False, use_safetensors=True
    )


def load_encoder(folder: str | os.PathLike[str]) -> Any:
    """The model in a folder without a head, in float32, for inference; likewise."""
    from transformers import AutoModel

    require_plain(folder)
    model = AutoModel.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    return model.train(False)
