"""LoRA of a language model, by peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from agentmem.errors import ConfigError, MissingExtraError, ModelError


def add_lora(lm: PreTrainedModel, arguments: dict[str, Any]) -> Any:
    """A language model with fresh LoRA weights, its own frozen.

    Raises:
        ConfigError: peft does not take these arguments.
        MissingExtraError: peft is not installed.
    """
    peft = _peft()
    try:
        return peft.get_peft_model(lm, peft.LoraConfig(task_type="CAUSAL_LM", **arguments))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"lora={arguments!r}: {error}") from error


def save_lora(lm: Any, folder: Path) -> None:
    """Write the LoRA weights of a language model, and nothing else of it."""
    # Left to itself, peft asks the network whether the base has other embeddings.
    lm.save_pretrained(folder, save_embedding_layers=False)


def load_lora(lm: PreTrainedModel, folder: Path) -> Any:
    """A language model with the LoRA weights of a folder.

    Raises:
        ModelError: they are not there, damaged, or of another language model.
        MissingExtraError: peft is not installed.
    """
    peft = _peft()
    try:
        network = peft.get_peft_model(lm, peft.LoraConfig.from_pretrained(str(folder)))
        weights = load_file(folder / "adapter_model.safetensors")
        wanted = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        if wanted.keys() != weights.keys():
            some = sorted(wanted.keys() ^ weights.keys())[:3]
            raise ModelError(f"it lacks layers or has others, {some} among them")
        peft.set_peft_model_state_dict(network, weights)
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError, ModelError) as error:
        raise ModelError(
            f"LoRA in {str(folder)!r} does not fit the reader's language model: {error}"
        ) from error
    return network


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(
            "LoRA needs peft: pip install 'latent-agentmem[lora]'", extra="lora"
        ) from error
    return peft
