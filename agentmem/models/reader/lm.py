"""Language models of Hugging Face: found on this machine, known by their weights, saved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.local import local_folder, quiet

# Numbers of each tensor that stand for it in a fingerprint.
_SAMPLE = 4096


def load_lm(place: str | os.PathLike[str]) -> PreTrainedModel:
    """A causal language model that is on this machine, float32.

    Args:
        place: Its folder, or its name, if it was downloaded before.

    Raises:
        ModelNotFoundError: there is none.
        ModelError: its weights are damaged.
    """
    try:
        with quiet():
            found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                local_folder(place), dtype=torch.float32, local_files_only=True
            )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no language model at {os.fspath(place)!r} on this machine: download it first, or "
            f"pass it as lm= ({error})"
        ) from error
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the language model at {os.fspath(place)!r} is damaged: {error}"
        ) from error
    return found


def load_tokenizer(place: str | os.PathLike[str]) -> Any:
    """The tokenizer of a language model that is on this machine.

    Raises:
        ModelNotFoundError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(local_folder(place), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no tokenizer at {os.fspath(place)!r}: pass it as tokenizer= ({error})"
        ) from error


def save_lm(lm: PreTrainedModel, folder: Path) -> None:
    """Write a language model in bfloat16."""
    with quiet():
        lm.save_pretrained(folder, state_dict=halved(lm.state_dict()))


def lm_fingerprint(lm: PreTrainedModel) -> str:
    """Sixteen hex digits that stand for a language model's weights: names, shapes and samples.

    A model that was loaded or saved in bfloat16 has the same.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(lm.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        sample = tensor.detach().flatten()[:_SAMPLE].bfloat16().float().cpu()
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in bfloat16 on the CPU; two names of one tensor stay so, and are written once."""
    made: dict[tuple[int, torch.Size], Tensor] = {}
    for tensor in state.values():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in made:
            kind = torch.bfloat16 if tensor.is_floating_point() else tensor.dtype
            made[place] = tensor.detach().to("cpu", kind).contiguous()
    return {name: made[tensor.data_ptr(), tensor.shape] for name, tensor in state.items()}
