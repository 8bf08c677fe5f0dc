"""Conversations with questions and the turns that answer them, independent of file formats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from agentmem.errors import InputError


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Attributes:
        id: Unique in its conversation.
        speaker: Name of the speaker, None if only a role is known.
        role: As in chat messages; ``user`` if only a name is known.
        content: The text alone, without captions of images.
        at: Its time, with a time zone; None if unknown.
    """

    id: str
    speaker: str | None
    role: str
    content: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a conversation.

    Attributes:
        question: Its text.
        evidence: Ids of the turns that contain the answer.
        category: The kind of question.
    """

    question: str
    evidence: tuple[str, ...]
    category: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, and questions whose evidence is among the turns, each id once."""

    id: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Counts of what cannot be evaluated in a file.

    Attributes:
        questions_without_evidence: Questions that name no evidence at all.
        evidence: Evidence ids that match no turn of their conversation.
        questions: Questions that name evidence, none of which exists.
    """

    questions_without_evidence: int = 0
    evidence: int = 0
    questions: int = 0

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(
            self.questions_without_evidence + other.questions_without_evidence,
            self.evidence + other.evidence,
            self.questions + other.questions,
        )


@dataclass(frozen=True, slots=True)
class ConversationSet:
    """The contents of a file of conversations."""

    conversations: tuple[Conversation, ...]
    left_out: LeftOut


def gather(conversations: Iterable[Conversation]) -> ConversationSet:
    """Check ids; drop and count evidence and questions that match no turn.

    Args:
        conversations: As read from a file; evidence may name turns that do not exist.

    Raises:
        InputError: Two conversations, or two turns of one conversation, have the same id.
    """
    kept: dict[str, Conversation] = {}
    left_out = LeftOut()
    for conversation in conversations:
        if conversation.id in kept:
            raise InputError(f"two conversations have the id {conversation.id!r}")
        kept[conversation.id], missing = _answerable(conversation)
        left_out += missing
    return ConversationSet(tuple(kept.values()), left_out)


def _answerable(conversation: Conversation) -> tuple[Conversation, LeftOut]:
    ids: set[str] = set()
    for turn in conversation.turns:
        if turn.id in ids:
            raise InputError(f"conversation {conversation.id!r} has two turns {turn.id!r}")
        ids.add(turn.id)
    questions = []
    left_out = LeftOut()
    for question in conversation.questions:
        named = tuple(dict.fromkeys(question.evidence))
        known = tuple(id for id in named if id in ids)
        if known:
            questions.append(replace(question, evidence=known))
        left_out += LeftOut(
            questions_without_evidence=int(not named),
            evidence=len(named) - len(known),
            questions=int(bool(named) and not known),
        )
    return replace(conversation, questions=tuple(questions)), left_out
