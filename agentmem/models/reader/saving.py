"""Readers made, saved and loaded again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from agentmem.errors import ModelError
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.adapter import empty_adapter, fresh_adapter
from agentmem.models.reader.configuration import Origin, ReaderConfig, SavedReader
from agentmem.models.reader.lm import halved, lm_fingerprint, load_lm, load_tokenizer, save_lm
from agentmem.models.reader.lora import add_lora, load_lora, save_lora
from agentmem.models.reader.modeling import ReadingModel, token_table
from agentmem.models.reader.prompts import label
from agentmem.models.reader.words import BundleWords, OwnWords, Words, pieces

_WEIGHTS, _LM, _LORA = "model.safetensors", "lm", "lora"


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
        ModelError: it is no causal language model, its vocabulary is not the bundle's and there
            is no tokenizer, the tokenizer does not fit, or it is to have LoRA and has no name.
        ConfigError: peft does not take these arguments.
        MissingExtraError: LoRA without peft.
    """
    if not lm.can_generate() or lm.config.is_encoder_decoder:
        raise ModelError(
            f"{type(lm).__name__} is no causal language model: load one with AutoModelForCausalLM"
        )
    if lora is not None and name is None:
        raise ModelError(
            f"LoRA weights are saved without {type(lm).__name__}, which has no name to be found "
            f"by: save it with save_pretrained() and give the folder"
        )
    words = _words(lm, bundle, tokenizer)
    table = token_table(lm)
    origin = Origin(
        bundle=bundle.name,
        fingerprint=bundle.latents_fingerprint,
        # A folder is found from anywhere.
        lm=name if name is None or not os.path.isdir(name) else os.path.abspath(name),
        lm_hash=lm_fingerprint(lm),
        hidden_size=table.shape[1],
        vocab_size=table.shape[0],
        tokenizer_hash=words.fingerprint if isinstance(words, OwnWords) else None,
    )
    adapter = fresh_adapter(
        config.adapter, bundle.autoencoder, table.shape[1], pieces(words, bundle.tokenizer)
    )
    network = lm if lora is None else add_lora(lm, lora)
    return ReaderParts(
        ReadingModel(network, adapter, config, _labels(words, config)), words, origin
    )


def save_reader(parts: ReaderParts, folder: str | os.PathLike[str]) -> Path:
    """Write a reader: its own parts, LoRA weights if it has any, the language model if need be.

    That is if it has no name to be found by, or has learned since. Weights are written in
    bfloat16, LoRA's as peft writes them.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reader = parts.model
    state = reader.state_dict()
    own = {name: state[name] for name in state if not name.startswith("lm.")}
    save_file(halved(own), folder / _WEIGHTS)
    lm: Any = reader.lm
    lora, origin = not isinstance(lm, PreTrainedModel), parts.origin
    if lora:
        save_lora(lm, folder / _LORA)
    elif origin.lm is None or lm_fingerprint(lm) != origin.lm_hash:
        save_lm(lm, folder / _LM)
        if isinstance(parts.words, OwnWords):
            parts.words.tokenizer.save_pretrained(folder / _LM)
        origin = origin.model_copy(update={"lm": None, "lm_hash": lm_fingerprint(lm)})
    SavedReader(config=reader.config, origin=origin, lora=lora).write(folder)
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
        ModelError: it belongs to another bundle, language model or tokenizer, or its files are
            damaged.
        MissingExtraError: it has LoRA weights, and peft is not installed.
    """
    folder = Path(folder)
    saved = SavedReader.read(folder)
    if saved.origin.fingerprint != bundle.latents_fingerprint:
        raise ModelError(
            f"the reader in {str(folder)!r} reads memories of bundle {saved.origin.bundle!r} "
            f"({saved.origin.fingerprint}), not of {bundle.name!r} ({bundle.latents_fingerprint}): "
            f"train one with `agentmem train reader`, or open the store with its bundle"
        )
    place = str(folder / _LM) if saved.origin.lm is None else saved.origin.lm
    if lm is None:
        lm = load_lm(place)
    _check_lm(lm, saved.origin, folder)
    if tokenizer is None and saved.origin.tokenizer_hash is not None:
        tokenizer = load_tokenizer(place)
    words = _words(lm, bundle, tokenizer)
    if (words.fingerprint if isinstance(words, OwnWords) else None) != saved.origin.tokenizer_hash:
        raise ModelError(
            f"the reader in {str(folder)!r} was trained with another tokenizer: leave tokenizer= "
            f"out, or give the one it was made with"
        )
    hidden = token_table(lm).shape[1]
    network = load_lora(lm, folder / _LORA) if saved.lora else lm
    try:
        weights = load_file(folder / _WEIGHTS)
        table = weights.get("adapter.pieces")
        adapter = empty_adapter(
            saved.config.adapter,
            bundle.autoencoder,
            hidden,
            pieces=1 if table is None else table.shape[1],
        )
        reader = ReadingModel(network, adapter, saved.config, _labels(words, saved.config))
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
            f"({origin.lm_hash}), and these are other weights ({found}): give that one as lm="
        )


def _labels(words: Words, config: ReaderConfig) -> list[list[int]]:
    return [label(words, number) for number in range(1, config.max_memories + 1)]


def _words(lm: PreTrainedModel, bundle: ModelBundle, tokenizer: Any | None) -> Words:
    rows = token_table(lm).shape[0]
    if tokenizer is None:
        if rows != bundle.tokenizer.vocab_size:
            raise ModelError(
                f"the language model has {rows} tokens, bundle {bundle.name!r} has "
                f"{bundle.tokenizer.vocab_size}: give its tokenizer"
            )
        return BundleWords(bundle.tokenizer)
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens, the language model {rows}: give its own"
        )
    try:
        return OwnWords(tokenizer, bundle.tokenizer)
    except ValueError as error:
        raise ModelError(f"the language model cannot be read with: {error}") from error
