"""Of memories that answer a question and contradict each other, the newest comes first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem.retrieval.dates import Interval
from agentmem.retrieval.fusion import Scored
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.recency import by_recency
from agentmem.retrieval.repeats import Group
from agentmem_storage.records import Ranked, Selection

OLD, NEW = "I'm with Tessel, in the logistics team", "My new badge arrived: Halden Foods"
NOTES = [f"Note {number} about the garden" for number in range(6)]
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def order(
    memory: Memory,
    said: Sequence[tuple[str, str]],
    question: str,
    *,
    near: int | None = None,
    interval: Interval | None = None,
    **given: Any,
) -> list[str]:
    """Texts of what was said and of some notes, which the search found in this order.

    Args:
        memory: An empty memory.
        said: Texts and days.
        question: The question.
        near: How many of them are near the question; by default those that are given.
        interval: The time that it names.
        **given: As in `RecallQuery`.
    """
    texts = [*said, *((note, "2024-06-01") for note in NOTES)]
    ids = [
        memory.add({"role": "user", "content": text, "created_at": day}).ids[0]
        for text, day in texts
    ]
    count = len(said) if near is None else near
    cosines = np.array([0.6 if place < count else 0.1 for place in range(len(ids))], np.float32)
    groups = [Group(Scored(id, 1 - place / 100), ()) for place, id in enumerate(ids)]
    kinds = {"mode": "hybrid", "expand": None, "order": "relevance", "now": NOW, **given}
    query = RecallQuery(question, 8, Selection(), **kinds)
    found = memory._store.snapshot(
        lambda snapshot: by_recency(
            snapshot,
            groups,
            Ranked(np.array(ids), cosines),
            query,
            Question(question, [], None, interval),
            lambda wanted: {id: memory.get(id).text for id in wanted},
        )
    )
    scores = [group.item.score for group in found]
    assert scores == sorted(scores, reverse=True)
    assert sorted(group.item.id for group in found) == sorted(ids)
    return [memory.get(group.item.id).text for group in found]


BOTH = [(OLD, "2023-02-01"), (NEW, "2024-03-01")]


@pytest.mark.parametrize("question", ["Who do I work for?", "Which company am I at now?"])
def test_the_newest_comes_first_if_it_is_asked_for(memory: Memory, question: str) -> None:
    assert order(memory, BOTH, question)[:2] == [NEW, OLD]


@pytest.mark.parametrize("question", ["Who did I work for before?", "What was my old company?"])
def test_the_newest_comes_last_if_what_was_before_is_asked_for(
    memory: Memory, question: str
) -> None:
    assert order(memory, BOTH[::-1], question)[:2] == [OLD, NEW]


def test_what_was_said_after_a_time_did_not_hold_then(memory: Memory) -> None:
    in_2023 = Interval(datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    question = "Who did I work for in 2023?"
    assert order(memory, BOTH[::-1], question, interval=in_2023)[:2] == [OLD, NEW]


def test_the_caller_can_say_what_is_wanted(memory: Memory) -> None:
    question = "Who did I work for before?"
    assert order(memory, BOTH, question, prefer="latest")[:2] == [NEW, OLD]


@pytest.mark.parametrize(
    ("said", "question", "given"),
    [
        (BOTH, "When did I sign the contract?", {}),
        (BOTH, "What is Monica on when Pete enters the room that day?", {}),
        (BOTH, "Who do I work for?", {"prefer": "any"}),
        (BOTH, "Who do I work for?", {"mode": "vector"}),
        (BOTH, "Who do I work for?", {"near": 1}),
        (BOTH, "Who do I work for?", {"near": 8}),
        (BOTH, "Where does Tessel store my parcels?", {}),
        ([BOTH[0], (NEW, "2023-02-01T10:00Z")], "Who do I work for?", {}),
        ([BOTH[0], ("Is it Halden Foods now?", "2024-03-01")], "Who do I work for?", {}),
        ([BOTH[0], ("Walked past Halden Foods", "2024-03-01")], "Who do I work for?", {}),
    ],
    ids=[
        *("an event", "a long question", "any", "vectors alone", "one", "too many"),
        *("another name", "one day", "a question", "nothing changes"),
    ],
)
def test_otherwise_nothing_moves(
    memory: Memory, said: list[tuple[str, str]], question: str, given: dict[str, Any]
) -> None:
    assert order(memory, said, question, **given) == [*(text for text, _ in said), *NOTES]


def test_another_speaker_contradicts_nobody(memory: Memory) -> None:
    memory.add({"role": "user", "name": "Bob", "content": "x", "created_at": "2024-01-01"})
    bob = memory.add({"role": "user", "name": "Bob", "content": NEW, "created_at": "2024-03-01"})
    ana = memory.add({"role": "user", "name": "Ana", "content": OLD, "created_at": "2023-02-01"})
    ids = [*ana.ids, *bob.ids]
    groups = [Group(Scored(id, 1 - place / 100), ()) for place, id in enumerate(ids)]
    found = memory._store.snapshot(
        lambda snapshot: by_recency(
            snapshot,
            groups,
            Ranked(np.array([*ids, 1]), np.array([0.6, 0.6, 0.1], np.float32)),
            RecallQuery("Who do I work for?", 8, Selection(), "hybrid", None, "relevance", NOW),
            Question("Who do I work for?", [], None, None),
            lambda wanted: {id: memory.get(id).text for id in wanted},
        )
    )
    assert found == groups


@pytest.mark.parametrize(("old", "new", "moves"), [(1.0, 0.0, False), (0.4, 0.0, True)])
def test_words_of_the_question_tell_what_is_about_it(
    memory: Memory, old: float, new: float, moves: bool
) -> None:
    said = [
        memory.add({"role": "user", "content": text, "created_at": day}).ids[0]
        for text, day in (*BOTH, (NOTES[0], "2024-06-01"))
    ]
    lexical = (old, new, 0.0)
    groups = [
        Group(Scored(id, 1 - place / 10, lexical=lexical[place]), ())
        for place, id in enumerate(said)
    ]
    question = "Who do I work for?"
    found = memory._store.snapshot(
        lambda snapshot: by_recency(
            snapshot,
            groups,
            Ranked(np.array(said), np.array([0.6, 0.6, 0.1], np.float32)),
            RecallQuery(question, 8, Selection(), "hybrid", None, "relevance", NOW),
            Question(question, [], None, None),
            lambda wanted: {id: memory.get(id).text for id in wanted},
        )
    )
    first = said[1] if moves else said[0]
    assert found[0].item.id == first
