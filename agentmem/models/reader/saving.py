"""Readers made, saved and loaded again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from agentmem.errors import MissingExtraError, ModelError, ModelNotFoundError
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.adapter import empty_adapter, fresh_adapter
from agentmem.models.reader.configuration import Origin, ReaderConfig, SavedReader
from agentmem.models.reader.modeling import ReadingModel, token_table
from agentmem.models.reader.words import BundleWords, OwnWords, Words, pieces

_WEIGHTS, _LM, _LORA = "model.safetensors", "lm", "lora"
# Bytes of each tensor that stand for it in a language model's fingerprint.
_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class ReaderParts:
    """A reader with what it speaks and what it was made from."""

    model: ReadingModel
    words: Words
    origin: Origin


def new_reader(
    lm: PreTrainedModel,
    bundle: ModelBundle,
    config: ReaderConfig,
    *,
    tokenizer: Any | None = None,
    lora: dict[str, Any] | None = None,
    name: str | None = None,
) -> ReaderParts:
    """Fresh reading parts around a language model.

    Args:
        lm: Any Hugging Face causal language model.
        bundle: Whose memories it shall read.
        config: How.
        tokenizer: The language model's; None: it speaks the bundle's tokens.
        lora: Arguments of peft's LoraConfig, to adapt the language model; None: no LoRA.
        name: Name or folder from which the language model can be loaded again; None: it is saved
            with the reader.

    Raises:
        ModelError: its vocabulary is not the bundle's and there is no tokenizer, or the
            tokenizer has no end-of-text token.
        MissingExtraError: LoRA without peft.
    """
    words = _words(lm, bundle, tokenizer)
    table = token_table(lm)
    origin = Origin(
        bundle=bundle.name,
        fingerprint=bundle.fingerprint,
        lm=name,
        lm_hash=lm_fingerprint(lm),
        hidden_size=table.shape[1],
        vocab_size=table.shape[0],
    )
    adapter = fresh_adapter(
        config.adapter, bundle.autoencoder, table.shape[1], pieces(words, bundle.tokenizer)
    )
    network: Any = lm
    if lora is not None:
        network = _peft().get_peft_model(lm, _peft().LoraConfig(task_type="CAUSAL_LM", **lora))
    return ReaderParts(ReadingModel(network, adapter, config), words, origin)


def save_reader(parts: ReaderParts, folder: str | os.PathLike[str]) -> Path:
    """Write a reader: its own parts, LoRA weights if it has any, the LM if it has no name.

    Weights are written in bfloat16.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reader = parts.model
    own = {
        name: tensor.detach().cpu()
        for name, tensor in reader.state_dict().items()
        if not name.startswith("lm.")
    }
    small = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in own.items()}
    save_file({n: t.contiguous() for n, t in small.items()}, folder / _WEIGHTS)
    lm: Any = reader.lm
    if hasattr(lm, "peft_config"):
        lm.save_pretrained(folder / _LORA)
    origin = parts.origin
    if origin.lm is None:
        kept = {n: t.detach().to("cpu", torch.bfloat16) for n, t in lm.state_dict().items()}
        lm.save_pretrained(folder / _LM, state_dict=kept)
        origin = origin.model_copy(update={"lm_hash": lm_fingerprint(load_lm(folder / _LM))})
    SavedReader(
        config=reader.config, origin=origin, own_tokenizer=isinstance(parts.words, OwnWords)
    ).write(folder)
    return folder


def load_reader(
    folder: str | Path,
    bundle: ModelBundle,
    *,
    lm: PreTrainedModel | None = None,
    tokenizer: Any | None = None,
) -> ReaderParts:
    """Load what `save_reader` wrote, in float32, for reading.

    Args:
        folder: The reader's.
        bundle: Whose memories it reads.
        lm: The language model, if it is loaded already.
        tokenizer: Its tokenizer, if it is not the bundle's.

    Raises:
        ModelNotFoundError: there is no reader, or its language model is not on this machine.
        ModelError: it belongs to another bundle or language model, or its files are damaged.
    """
    folder = Path(folder)
    saved = SavedReader.read(folder)
    if saved.origin.fingerprint != bundle.fingerprint:
        raise ModelError(
            f"the reader in {str(folder)!r} reads memories of bundle {saved.origin.bundle!r} "
            f"({saved.origin.fingerprint}), not of {bundle.name!r} ({bundle.fingerprint}): train "
            f"one with `agentmem train reader`, or open the store with its bundle"
        )
    if lm is None:
        lm = load_lm(folder / _LM if saved.origin.lm is None else Path(saved.origin.lm))
    if tokenizer is None and saved.own_tokenizer:
        tokenizer = load_tokenizer(saved.origin.lm)
    _check_lm(lm, saved.origin, folder)
    words = _words(lm, bundle, tokenizer)
    hidden = token_table(lm).shape[1]
    network: Any = lm
    if (folder / _LORA).is_dir():
        network = _peft().PeftModel.from_pretrained(lm, folder / _LORA)
    try:
        weights = load_file(folder / _WEIGHTS)
        table = weights.get("adapter.pieces")
        adapter = empty_adapter(
            saved.config.adapter,
            bundle.autoencoder,
            hidden,
            pieces=1 if table is None else table.shape[1],
        )
        reader = ReadingModel(network, adapter, saved.config)
        wanted = {name for name in reader.state_dict() if not name.startswith("lm.")}
        if wanted != set(weights):
            raise ModelError(f"it has {sorted(set(weights) ^ wanted)[:3]} and more, or lacks them")
        reader.load_state_dict(weights, strict=False)
    except (OSError, SafetensorError, RuntimeError, ModelError) as error:
        raise ModelError(
            f"{_WEIGHTS} in {str(folder)!r} does not fit its reader.json: {error}"
        ) from error
    reader.train(False)
    return ReaderParts(reader, words, saved.origin)


def lm_fingerprint(lm: PreTrainedModel) -> str:
    """Sixteen hex digits that stand for a language model's weights: names, shapes and samples."""
    digest = hashlib.sha256()
    for name, tensor in sorted(lm.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        sample = tensor.detach().flatten()[:_SAMPLE_BYTES].float().cpu()
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_lm(lm: PreTrainedModel, origin: Origin, folder: Path) -> None:
    rows, hidden = token_table(lm).shape
    if (rows, hidden) != (origin.vocab_size, origin.hidden_size):
        raise ModelError(
            f"the reader in {str(folder)!r} was trained with a language model of hidden size "
            f"{origin.hidden_size} and {origin.vocab_size} tokens, this one has {hidden} and {rows}"
        )
    if (found := lm_fingerprint(lm)) != origin.lm_hash:
        raise ModelError(
            f"the reader in {str(folder)!r} was trained with {origin.lm or 'its own LM'!r} "
            f"({origin.lm_hash}), and these are other weights ({found})"
        )


def _words(lm: PreTrainedModel, bundle: ModelBundle, tokenizer: Any | None) -> Words:
    rows = token_table(lm).shape[0]
    if tokenizer is None:
        if rows != bundle.tokenizer.vocab_size:
            raise ModelError(
                f"the language model has {rows} tokens, bundle {bundle.name!r} has "
                f"{bundle.tokenizer.vocab_size}: give its tokenizer"
            )
        return BundleWords(bundle.tokenizer)
    try:
        return OwnWords(tokenizer, bundle.tokenizer)
    except ValueError as error:
        raise ModelError(f"the language model cannot be read with: {error}") from error


def load_lm(place: str | os.PathLike[str]) -> PreTrainedModel:
    """A causal language model that is on this machine, float32.

    Raises:
        ModelNotFoundError: there is none.
    """
    try:
        found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no language model at {os.fspath(place)!r} on this machine: download it first, or "
            f"pass it as lm="
        ) from error
    return found


def load_tokenizer(place: str | None) -> Any:
    """The tokenizer of a language model that is on this machine.

    Raises:
        ModelNotFoundError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"no tokenizer at {place!r}: pass it as tokenizer=") from error


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(
            "LoRA needs peft: pip install 'latent-agentmem[lora]'", extra="lora"
        ) from error
    return peft
