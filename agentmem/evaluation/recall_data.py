"""What recall is evaluated on: memories, and questions whose answers among them are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from agentmem.context.recall import Recall
from agentmem.evaluation.conversations import LeftOut
from agentmem.memory import Memory
from agentmem.types import Document

# Documents that are added in one call: all at once would take memory for all their vectors.
_BATCH = 256


@dataclass(frozen=True, slots=True)
class RecallQuestion:
    """A question of a data set.

    Attributes:
        number: Its place among the questions.
        question: Its text.
        user_id: Whose memories are searched.
        evidence: How many pieces of evidence it has.
        category: The kind of question.
    """

    number: int
    question: str
    user_id: str
    evidence: int
    category: str | None = None


class RecallData(Protocol):
    """Memories and questions.

    Attributes:
        hits: How many hits a recall needs for the deepest score: an item may be several chunks.
        added: What is added, in the plural, such as ``messages``.
        left_out: What cannot be evaluated.
    """

    hits: int
    added: str
    left_out: LeftOut

    @property
    def asked(self) -> Sequence[RecallQuestion]:
        """All questions."""

    def add(self, memory: Memory) -> int:
        """Add all of it; returns the number of what was added."""

    def scores(self, question: RecallQuestion, hits: Recall) -> dict[str, float]:
        """The scores of a question's hits; every question has the same ones."""


def add_documents(memory: Memory, documents: Iterable[Document], user_id: str) -> Iterator[int]:
    """Add documents, some at a time; yields the source of each."""
    waiting = iter(documents)
    while batch := list(islice(waiting, _BATCH)):
        yield from memory.add(batch, user_id=user_id).sources
