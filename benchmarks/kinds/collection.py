"""Memories of one kind with questions, in a half to fit on and a half to report on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

Half = Literal["fit", "held-out"]
HALVES: tuple[Half, Half] = ("fit", "held-out")
# How memories are added: each by itself, a conversation in one call, or each as a document.
Adding = Literal["single", "conversation", "document"]


@dataclass(frozen=True, slots=True)
class Item:
    """What is added as one memory.

    Attributes:
        content: Its text.
        at: Its time; None is the time of adding.
        name: Who said it; None if only that it is the user's is known.
    """

    content: str
    at: datetime | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a collection.

    Attributes:
        text: Its words.
        evidence: Indices of the items that answer it.
        half: Which half it belongs to; what resembles it is in the same.
        category: What is asked for, where a kind has several.
        distractors: Indices of items that answered it at another time, or do for somebody else.
    """

    text: str
    evidence: tuple[int, ...]
    half: Half
    category: str | None = None
    distractors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """The memories of one user, in the order of adding, and questions about them.

    Attributes:
        id: The user.
        items: The memories.
        questions: What is asked.
        now: When it is asked; None is the time of asking.
    """

    id: str
    items: tuple[Item, ...]
    questions: tuple[Question, ...]
    now: datetime | None = None

    def to_record(self) -> dict[str, Any]:
        """As a line of a file of conversations, see `agentmem.evaluation.datasets`.

        The category of a question names its half too. Distractors have no place in the format.
        """
        return {
            "id": self.id,
            "messages": [
                {"id": str(index), "content": item.content, "role": "user"}
                | ({"name": item.name} if item.name else {})
                | ({"at": item.at.isoformat()} if item.at else {})
                for index, item in enumerate(self.items)
            ],
            "questions": [
                {
                    "question": question.text,
                    "evidence": [str(index) for index in question.evidence],
                    "category": ", ".join(filter(None, (question.category, question.half))),
                }
                for question in self.questions
            ],
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """All collections of one kind.

    Attributes:
        name: The kind.
        adding: How its items are added.
        collections: Each is the memory of a user of its own.
    """

    name: str
    adding: Adding
    collections: tuple[Collection, ...]


def half_of(key: str) -> Half:
    """The half of what has this key, the same in every run."""
    return HALVES[sha256(key.encode()).digest()[0] % 2]


def limited(kind: Kind, limit: int | None) -> Kind:
    """At most so many questions, evenly spread; collections that are not asked are left out."""
    pairs = [(at, q) for at, one in enumerate(kind.collections) for q in one.questions]
    if limit is None or limit >= len(pairs):
        return kind
    kept: dict[int, list[Question]] = {}
    for index in range(limit):
        at, question = pairs[index * len(pairs) // limit]
        kept.setdefault(at, []).append(question)
    collections = tuple(
        replace(kind.collections[at], questions=tuple(questions)) for at, questions in kept.items()
    )
    return replace(kind, collections=collections)


def questions_of(kind: Kind) -> Sequence[tuple[Collection, Question]]:
    """Every question with its collection, in order."""
    return [(one, question) for one in kind.collections for question in one.questions]
