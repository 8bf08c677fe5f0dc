"""Retrieval examples: questions, the passages of their contexts, and which contain the answer.

A passage is what a memory would be: a turn of a dialogue, or a few sentences. The other passages of
the same context are hard negatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentmem.corpus import read_records
from agentmem.errors import ConfigError

# Longest passage of several sentences, in code points.
_PASSAGE = 160
# Longest question and longest passage, in code points.
_LONGEST = 400
# If more passages than this contain the answer string, most of them do not answer the question.
_MAX_POSITIVES = 4
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One question about one context.

    Attributes:
        source: Source of the question.
        question: Its text.
        passages: The passages of the context, in order.
        positives: Indices of the passages that contain the answer, at least one.
        negatives: Indices of the others.
    """

    source: str
    question: str
    passages: tuple[str, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


class EvidenceSet:
    """Questions by source; sources are sampled in proportion to the square root of their size.

    Otherwise the largest source, which is synthetic, would be a third of the training data.
    """

    def __init__(self, examples: Sequence[Evidence]) -> None:
        """Group examples by source.

        Raises:
            ConfigError: there are none.
        """
        if not examples:
            raise ConfigError("no question in the files has its answer in its context")
        self.by_source: dict[str, list[Evidence]] = {}
        for one in examples:
            self.by_source.setdefault(one.source, []).append(one)
        roots = np.array([len(group) ** 0.5 for group in self.by_source.values()])
        self._groups, self._shares = list(self.by_source.values()), roots / roots.sum()

    def draw(self, count: int, rng: np.random.Generator) -> list[Evidence]:
        """``count`` random examples."""
        sources = rng.choice(len(self._groups), count, p=self._shares)
        return [self._groups[at][rng.integers(len(self._groups[at]))] for at in sources]


def read_evidence(files: Sequence[Path], *, leave_out: Sequence[str] = ()) -> list[Evidence]:
    """The answerable questions of a corpus's files, in their order.

    Args:
        files: Question files.
        leave_out: Sources that are held out for model selection.
    """
    return [
        example
        for file in files
        for record in read_records(file)
        if record["source"] not in leave_out
        for example in _evidence(record)
    ]


def _evidence(record: dict[str, Any]) -> Iterator[Evidence]:
    kind: str = record["kind"]
    passages = cut_passages(record["context"], dialogue=kind.startswith("dialogue"))
    answers = [answer for answer in record["answers"] if answer.strip()]
    positives = tuple(
        index
        for index, passage in enumerate(passages)
        if any(answer in passage for answer in answers)
    )
    if kind == "passage" and passages:
        positives = (0,)  # the whole context is the answer: its beginning says what it is about
    if kind != "unanswerable" and 0 < len(positives) <= _MAX_POSITIVES:
        negatives = tuple(sorted(set(range(len(passages))) - set(positives)))
        question = record["question"][:_LONGEST]
        yield Evidence(record["source"], question, tuple(passages), positives, negatives)


def cut_passages(context: str, *, dialogue: bool) -> list[str]:
    """Split a context into passages: turns of a dialogue, else sentences, joined while short."""
    if dialogue:
        return [line for line in context.splitlines() if line.strip()]
    passages: list[str] = []
    for sentence in map(str.strip, _SENTENCE.split(context)):
        if passages and sentence and len(passages[-1]) + len(sentence) <= _PASSAGE:
            passages[-1] = f"{passages[-1]} {sentence}"
        elif sentence:
            passages.append(sentence)
    return [passage[:_LONGEST] for passage in passages]
