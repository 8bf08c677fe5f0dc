"""What a reader's training starts from; wrong input is refused before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from agentmem.errors import ConfigError
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.lm import load_lm, load_tokenizer
from agentmem.models.reader.modeling import room_of, token_table
from agentmem.models.reader.saving import ReaderParts, new_reader
from agentmem.models.reader.words import Words
from agentmem.models.tokenizer import BOS, EOS, PAD
from agentmem.training.config import Exercise, ReaderRunConfig
from agentmem.training.data import PackedFile
from agentmem.training.questions import Asked, read_questions
from agentmem.training.reading import (
    MEMORIES_OF_CONTEXT,
    MOST_BEFORE,
    Exercises,
    ReadingBatch,
)
from agentmem.training.runs import local_model

# Evaluations draw steps that training never comes to.
_EVAL_STEP = 1 << 40
_EVAL_BATCHES = 2
_EVAL_ROWS = 16
# What is read at every evaluation: the exercise, and how many memories (contexts) there are.
_EVALUATED: Mapping[str, tuple[Exercise, int]] = {
    "regenerate of 1": ("regenerate", 1),
    "regenerate of 16": ("regenerate", 16),
    "lookup of 8": ("lookup", 8),
    "follow": ("follow", 2),
    "answer of 2": ("answer", 2),
    "facts of 3": ("facts", 3),
}


def check_run(
    config: ReaderRunConfig, bundle: ModelBundle, *, corpus: Path, lm: str | None, processes: int
) -> None:
    """See that a run can be what its configuration says.

    Raises:
        ConfigError: a file is missing, or the configuration does not fit the bundle, the language
            model or the number of processes.
    """
    for name in (*config.texts, *config.questions, *config.dev_texts, *config.dev_questions):
        if not (corpus / name).is_file():
            raise ConfigError(f"{name!r} is not in the corpus folder {str(corpus)!r}")
    if lm is None and not config.train_lm:
        raise ConfigError(
            "train_lm = false: a fresh language model has nothing to keep; give one with --lm"
        )
    if lm is not None and config.lm:
        raise ConfigError(
            f"lm.{next(iter(config.lm))}: sizes of a fresh language model, but {lm!r} is given: "
            f"leave one of the two out"
        )
    longest = _longest(config)
    if longest > bundle.max_tokens:
        raise ConfigError(
            f"memory_tokens up to {longest}: bundle {bundle.name!r} holds {bundle.max_tokens} at "
            f"most, take shorter memories"
        )
    for stage in config.stages:
        if stage.rows < processes:
            raise ConfigError(
                f"rows = {stage.rows!r}: less than one for each of {processes} processes, start "
                f"fewer of them or take more rows"
            )
        if "answer" in stage.mixture:
            _check_contexts(config, stage.memory_tokens)
    if config.dev_questions:
        _check_contexts(config, _dev_lengths(config))


def start_reader(config: ReaderRunConfig, bundle: ModelBundle, lm: str | None) -> ReaderParts:
    """The language model and fresh reading parts around it.

    Args:
        config: Says its sizes, if it is fresh, and what of it learns.
        bundle: Whose memories it shall read, and whose tokens a fresh one speaks.
        lm: Folder of a language model; None: a fresh one.

    Raises:
        ConfigError: there is no model in the folder, or it has too few positions.
        ModelError: model, tokenizer and bundle do not fit each other.
        MissingExtraError: LoRA without peft.
    """
    tokenizer = None
    if lm is None:
        network: PreTrainedModel = fresh_lm(config.lm, bundle)
    else:
        network = load_lm(local_model(lm))
        if token_table(network).shape[0] != bundle.tokenizer.vocab_size:
            tokenizer = load_tokenizer(lm)
    lora = None
    if config.lora is not None:
        lora = {
            "r": config.lora.rank,
            "lora_alpha": config.lora.alpha,
            "target_modules": config.lora.targets,
        }
    parts = new_reader(network, bundle, config.reader, tokenizer=tokenizer, lora=lora, name=lm)
    if not config.train_lm and config.lora is None:
        parts.model.lm.requires_grad_(False)
    _check_room(config, network)
    return parts


def fresh_lm(sizes: Mapping[str, Any], bundle: ModelBundle) -> LlamaForCausalLM:
    """An untrained Llama of some sizes (arguments of LlamaConfig) with the bundle's tokens."""
    own = {
        "vocab_size": bundle.tokenizer.vocab_size,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "tie_word_embeddings": True,
    }
    return LlamaForCausalLM(LlamaConfig(**{**own, **sizes}))


def training_exercises(
    config: ReaderRunConfig,
    words: Words,
    bundle: ModelBundle,
    *,
    corpus: Path,
    packed: Mapping[str, PackedFile],
) -> Exercises:
    """Exercises of the training files.

    Args:
        config: Names the files.
        words: Of the language model.
        bundle: Whose tokens the texts are.
        corpus: Folder of the question files.
        packed: Each text file that the configuration names.

    Raises:
        ConfigError: a text file is shorter than what is drawn from it, or no question fits.
    """
    for stage in config.stages:
        longest = stage.memory_tokens[1]
        before = min(max(stage.memories), MOST_BEFORE) if "follow" in stage.mixture else 0
        _check_texts([packed[name] for name in config.texts], longest * (before + 1))
    return Exercises(
        [packed[name] for name in config.texts],
        list(config.texts.values()),
        _questions(config.questions, config, bundle, corpus),
        words,
        bundle.tokenizer,
        seed=config.seed,
        most=config.reader.max_memories,
        random_share=config.random_share,
    )


def dev_batches(
    config: ReaderRunConfig,
    words: Words,
    bundle: ModelBundle,
    *,
    corpus: Path,
    packed: Mapping[str, PackedFile],
) -> dict[str, list[ReadingBatch]]:
    """What is read at every evaluation, the same each time: batches of the dev files by name.

    Raises:
        ConfigError: as for `training_exercises`.
    """
    longest, most = _longest(config), config.reader.max_memories
    asked = {
        name: (exercise, count)
        for name, (exercise, count) in _EVALUATED.items()
        if count <= most and (exercise != "answer" or config.dev_questions)
        if exercise != "facts" or any("facts" in stage.mixture for stage in config.stages)
    }
    before = 2 if "follow" in asked else 0
    _check_texts([packed[name] for name in config.dev_texts], longest * (before + 1))
    dev = Exercises(
        [packed[name] for name in config.dev_texts],
        [1.0] * len(config.dev_texts),
        _questions(config.dev_questions, config, bundle, corpus),
        words,
        bundle.tokenizer,
        seed=config.seed,
        most=most,
        dev=True,
    )
    return {
        name: [
            dev.batch(
                _EVAL_STEP + index,
                {exercise: 1.0},
                memories=[count],
                memory_tokens=_dev_lengths(config),
                rows=_EVAL_ROWS,
            )
            for index in range(_EVAL_BATCHES)
        ]
        for name, (exercise, count) in asked.items()
    }


def _longest(config: ReaderRunConfig) -> int:
    """Tokens of the longest memory."""
    return max(stage.memory_tokens[1] for stage in config.stages)


def _dev_lengths(config: ReaderRunConfig) -> tuple[int, int]:
    """Shortest and longest memory of an evaluation."""
    return _longest(config) // 2, _longest(config)


def _questions(
    files: Sequence[str], config: ReaderRunConfig, bundle: ModelBundle, corpus: Path
) -> list[Asked]:
    found = read_questions(
        [corpus / file for file in files], bundle.tokenizer, max_context=config.max_context
    )
    if files and not found:
        raise ConfigError(
            f"max_context = {config.max_context!r}: no question of {', '.join(files)} has a "
            f"context so short, allow a longer one"
        )
    return found


def _check_texts(files: Sequence[PackedFile], needed: int) -> None:
    for file in files:
        if len(file.ids) <= needed:
            raise ConfigError(
                f"{file.name!r} has {len(file.ids)} tokens, and {needed} are read at once: take "
                f"shorter memories, or another file"
            )


def _check_contexts(config: ReaderRunConfig, lengths: tuple[int, int]) -> None:
    """A context must fit what the exercises keep free for it."""
    most = config.reader.max_memories
    if most < MEMORIES_OF_CONTEXT:
        raise ConfigError(
            f"reader.max_memories = {most!r}: a question's context may be cut into "
            f"{MEMORIES_OF_CONTEXT} memories, hold as many or ask no questions"
        )
    # One for each of its turns, which are half of the most, and one for each that is filled.
    filled = config.max_context // (sum(lengths) // 2)
    if filled + MEMORIES_OF_CONTEXT // 2 > MEMORIES_OF_CONTEXT:
        raise ConfigError(
            f"memory_tokens = {lengths!r}: contexts of max_context = "
            f"{config.max_context!r} tokens would be cut into more than {MEMORIES_OF_CONTEXT}: "
            f"take longer memories, or shorter contexts"
        )


def _check_room(config: ReaderRunConfig, lm: PreTrainedModel) -> None:
    """Memories before a text take positions: the language model must have so many."""
    room = room_of(lm)
    if room is None or config.reader.route != "positions":
        return
    for stage in config.stages:
        longest, count = stage.memory_tokens[1], max(stage.memories)
        share = stage.tokens_per_position or config.reader.tokens_per_position
        tokens = count * longest
        if "answer" in stage.mixture:
            tokens = max(tokens, count * config.max_context)
        taken = -(-tokens // share) + longest
        if taken > room:
            raise ConfigError(
                f"memories = {stage.memories!r} of {stage.memory_tokens!r} tokens take {taken} "
                f"positions with the text, and the language model has {room}: take fewer or "
                f"shorter memories, or more tokens per position"
            )
