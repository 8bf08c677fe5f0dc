"""Builds the training data of a reader: a corpus to a file of packed exercises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from agentmem.corpus import read_records
from agentmem.errors import ConfigError
from agentmem.models.huggingface import load_tokenizer
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.training.reader.config import ReaderDataConfig
from agentmem.training.reader.exercises import (
    Exercise,
    contexts,
    fit,
    from_context,
    from_turns,
    personal,
)
from agentmem.training.reader.notebooks import from_notebooks, read_notebooks
from agentmem.training.reader.packed import PackedExercises

_LONGEST_CONTEXT = 2600  # code points; longer ones would not fit
_TURNS = 12


def pack_exercises(
    config: ReaderDataConfig,
    *,
    corpus: str | Path,
    language_model: str | Path,
    system_prompt: str,
    path: str | Path,
    notebooks: str | Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> PackedExercises:
    """Build the configured exercises, shuffle them, and write them to a file.

    Args:
        config: Number of exercises of each kind, and their length.
        corpus: Folder of the corpus.
        language_model: Folder of the language model, for its tokenizer.
        system_prompt: As in the reader's configuration.
        path: The npz file to write.
        notebooks: File of notebooks; needed if the configuration asks for their exercises.
        report: Called with the number of exercises built so far.

    Raises:
        ConfigError: the configuration asks for exercises of notebooks, and there is no file.
        InputError: a file of the corpus or the notebooks is damaged, or yields no exercises.
        ModelError: the tokenizer has no chat template.
    """
    if config.notebooks and notebooks is None:
        raise ConfigError(f"notebooks={config.notebooks}: name their file, --notebooks FILE")
    written = [] if notebooks is None else read_notebooks(read_records(notebooks))
    prompt = ReadingPrompt.of(load_tokenizer(language_model), system_prompt)
    random = Random(config.seed)
    corpus = Path(corpus)
    made: list[Exercise] = []
    kinds = (
        islice(_from_contexts(config, corpus, prompt, random), config.contexts),
        islice(personal(config.seed, prompt), config.personal),
        islice(_from_conversations(config, corpus, prompt, random), config.turns),
        islice(from_notebooks(written, prompt, Random(config.seed)), config.notebooks),
    )
    for kind in kinds:
        for exercise in kind:
            fitting = fit(exercise, config.most)
            if fitting is None:
                continue
            made.append(fitting)
            if len(made) % 1000 == 0:
                report(len(made))
    random.shuffle(made)
    packed = PackedExercises.of(made)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    packed.save(Path(path))
    return packed


def _from_contexts(
    config: ReaderDataConfig, corpus: Path, prompt: ReadingPrompt, random: Random
) -> Iterator[Exercise]:
    found = [
        context
        for file in config.questions
        for context in contexts(read_records(corpus / file))
        if len(context.text) <= _LONGEST_CONTEXT
    ]
    random.shuffle(found)
    by_source: dict[str, list[Any]] = {}
    for context in found:
        by_source.setdefault(context.source, []).append(context)
    for context in found:
        # A context with many questions is used several times, with different ones.
        for _ in range(min(3, 1 + len(context.questions) // 8)):
            other = random.choice(by_source[context.source])
            exercise = from_context(context, other, prompt, random)
            if exercise is not None and other.text != context.text:
                yield exercise


def _from_conversations(
    config: ReaderDataConfig, corpus: Path, prompt: ReadingPrompt, random: Random
) -> Iterator[Exercise]:
    for file in config.conversations:
        for record in read_records(corpus / file):
            turns = [
                f"{m.get('name') or str(m.get('role', '')).capitalize()}: {m['content'][:500]}"
                for m in record["messages"]
                if m["content"].strip()
            ]
            if len(turns) >= 3:
                start = random.randrange(max(1, len(turns) - _TURNS))
                yield from_turns(turns[start : start + random.randint(2, _TURNS)], prompt, random)
