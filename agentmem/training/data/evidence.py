"""Questions, the pieces of their contexts, and which pieces hold the answer.

A piece is what a memory would be: a turn of a dialogue, or a few sentences. Those beside the right
one are the wrong ones that are hardest to tell from it.
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

# A piece of plain text is at most so long if it has more than one sentence, in code points.
_PIECE = 160
# Longest question and longest piece, in code points.
_LONGEST = 400
# Where the answer stands in more pieces than so many, none of them is where it was asked about.
_MOST_PIECES = 4
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One question on one context.

    Attributes:
        source: Of the question.
        question: Its text.
        pieces: Of the context, in its order.
        right: Places of the pieces that hold the answer, at least one.
        wrong: Places of the others.
    """

    source: str
    question: str
    pieces: tuple[str, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


class EvidenceSet:
    """Questions by source; sources are drawn by the root of their size.

    Otherwise the largest source, which a script made, would be a third of what is learned.
    """

    def __init__(self, found: Sequence[Evidence]) -> None:
        """Take questions.

        Raises:
            ConfigError: there is none.
        """
        if not found:
            raise ConfigError("no question in the files has its answer in its context")
        self.by_source: dict[str, list[Evidence]] = {}
        for one in found:
            self.by_source.setdefault(one.source, []).append(one)
        roots = np.array([len(group) ** 0.5 for group in self.by_source.values()])
        self._groups, self._shares = list(self.by_source.values()), roots / roots.sum()

    def draw(self, count: int, rng: np.random.Generator) -> list[Evidence]:
        """So many questions by chance."""
        sources = rng.choice(len(self._groups), count, p=self._shares)
        return [self._groups[at][rng.integers(len(self._groups[at]))] for at in sources]


def read_evidence(files: Sequence[Path], *, leave_out: Sequence[str] = ()) -> list[Evidence]:
    """The answerable questions of a corpus's files, in their order.

    Args:
        files: Question files.
        leave_out: Sources that are kept for choosing between what was trained.
    """
    return [
        found
        for file in files
        for record in read_records(file)
        if record["source"] not in leave_out
        for found in _evidence(record)
    ]


def _evidence(record: dict[str, Any]) -> Iterator[Evidence]:
    kind: str = record["kind"]
    pieces = cut_pieces(record["context"], dialogue=kind.startswith("dialogue"))
    answers = [answer for answer in record["answers"] if answer.strip()]
    right = tuple(
        place for place, piece in enumerate(pieces) if any(answer in piece for answer in answers)
    )
    if kind == "passage" and pieces:
        right = (0,)  # The whole context is the answer: its beginning says what it is about.
    if kind != "unanswerable" and 0 < len(right) <= _MOST_PIECES:
        wrong = tuple(sorted(set(range(len(pieces))) - set(right)))
        yield Evidence(record["source"], record["question"][:_LONGEST], tuple(pieces), right, wrong)


def cut_pieces(context: str, *, dialogue: bool) -> list[str]:
    """A context as pieces: turns of a dialogue; else sentences, put together while short."""
    if dialogue:
        return [line for line in context.splitlines() if line.strip()]
    pieces: list[str] = []
    for sentence in map(str.strip, _SENTENCE.split(context)):
        if pieces and sentence and len(pieces[-1]) + len(sentence) <= _PIECE:
            pieces[-1] = f"{pieces[-1]} {sentence}"
        elif sentence:
            pieces.append(sentence)
    return [piece[:_LONGEST] for piece in pieces]
