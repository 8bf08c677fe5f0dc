"""The conversations of a side-by-side run, with numbered turns and questions.

A turn's number is its place among all turns of all conversations, so that it names the same turn
inside a conversation and in one store of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.evaluation.conversations import Conversation, ConversationSet, LeftOut, Turn


@dataclass(frozen=True, slots=True)
class NumberedTurn:
    """A turn as systems are given it.

    Attributes:
        number: What a system answers a search with.
        text: ``Speaker: what was said``, for systems that take plain text.
        turn: What was said, by whom and when, for those that take more.
    """

    number: int
    text: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class NumberedQuestion:
    """A question; its evidence are numbers of turns."""

    conversation: str
    question: str
    evidence: tuple[int, ...]
    category: str | None


@dataclass(frozen=True, slots=True)
class Numbered:
    """The input of every system, in this order.

    Attributes:
        turns: Turns by conversation.
        questions: Those of all conversations.
        left_out: What the file names and does not hold, of all its conversations.
    """

    turns: dict[str, tuple[NumberedTurn, ...]]
    questions: tuple[NumberedQuestion, ...]
    left_out: LeftOut


def numbered(
    found: ConversationSet, *, conversations: int | None, questions: int | None
) -> Numbered:
    """Number turns, and keep as many as configured.

    Args:
        found: What a file holds.
        conversations: At most so many, the first ones; None means all.
        questions: At most so many of each conversation, evenly spread over them, since
            neighbors in a file are often of one kind; None means all.
    """
    turns: dict[str, tuple[NumberedTurn, ...]] = {}
    selected: list[NumberedQuestion] = []
    count = 0
    for conversation in found.conversations[:conversations]:
        numbers = {turn.id: count + place for place, turn in enumerate(conversation.turns)}
        count += len(numbers)
        turns[conversation.id] = tuple(
            NumberedTurn(numbers[turn.id], _spoken(turn), turn) for turn in conversation.turns
        )
        selected += _questions(conversation, numbers, questions)
    return Numbered(turns, tuple(selected), found.left_out)


def _questions(
    conversation: Conversation, numbers: dict[str, int], limit: int | None
) -> list[NumberedQuestion]:
    found = conversation.questions
    count = len(found) if limit is None else min(limit, len(found))
    return [
        NumberedQuestion(
            conversation.id,
            question.question,
            tuple(numbers[id] for id in question.evidence),
            question.category,
        )
        for question in (found[place * len(found) // count] for place in range(count))
    ]


def _spoken(turn: Turn) -> str:
    return f"{turn.speaker or turn.role}: {turn.content}"
