"""Contradictions between memories are found when they are added, shown, and can be dismissed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import Conflict, Document, Memory
from agentmem.models.bundle.load import ModelBundle

PARIS, ROME = "I live in Paris", "I moved to Rome last week!"
OTHERS = [
    "The cat sleeps on the printer.",
    "Booked the 9:40 to Lyon for Friday",
    "My sister Ana lives in Porto",
    "Lunch was grilled sardines",
    "We walked over the iron bridge",
    "The museum in Rome was closed",
    "Where do I put the keys?",
]


def add(memory: Memory, text: str, day: str, **given: str) -> int:
    return memory.add(text, user_id="ana", created_at=day, **given).ids[0]


def test_the_newest_home_comes_first_with_nothing_but_what_is_shipped(place: Path) -> None:
    with Memory(place) as memory:
        paris = add(memory, PARIS, "2024-03-01")
        for number, text in enumerate(OTHERS):
            add(memory, text, f"2024-05-{number + 1:02d}")
        rome = memory.add(ROME, user_id="ana", created_at="2025-02-01")
        assert [(one.old, one.new) for one in rome.conflicts] == [(paris, rome.ids[0])]
        assert memory.conflicts(user_id="ana") == rome.conflicts
        for question in ("Where do I live?", "Where do I live now?"):
            hits = memory.recall(question, user_id="ana", now="2025-03-01")
            assert hits[0].text == ROME
        assert hits[0].supersedes == (paris,)
        before = memory.recall("Where did I live before?", user_id="ana", now="2025-03-01")
        assert before[0].text == PARIS
        in_2024 = memory.recall("Where did I live in 2024?", user_id="ana", now="2025-03-01")
        assert in_2024[0].text == PARIS


def test_it_is_found_in_one_call_too_and_by_time(memory: Memory) -> None:
    """Whichever was added first, the later one supersedes the earlier one."""
    receipt = memory.add(
        [
            {"role": "user", "content": ROME, "created_at": "2025-02-01"},
            {"role": "user", "content": PARIS, "created_at": "2024-03-01"},
        ],
        user_id="ana",
    )
    rome, paris = receipt.ids
    assert receipt.conflicts == (Conflict(paris, rome, 0.7),)
    later = memory.add("I live in Oslo", user_id="ana", created_at="2024-08-01")
    assert {(one.old, one.new) for one in later.conflicts} == {
        (paris, later.ids[0]),
        (later.ids[0], rome),
    }


@pytest.mark.parametrize(
    "content",
    [
        {"role": "assistant", "content": ROME},
        {"role": "user", "name": "Bob", "content": ROME},
        Document(ROME),
        f"{ROME} " + "It was a long way, and it rained. " * 10,
    ],
    ids=["assistant", "another speaker", "document", "long"],
)
def test_only_short_statements_of_one_speaker_are_compared(memory: Memory, content: object) -> None:
    add(memory, PARIS, "2024-03-01")
    receipt = memory.add(content, user_id="ana", created_at="2025-02-01")  # type: ignore[arg-type]
    assert receipt.conflicts == memory.conflicts() == ()


def test_users_and_agents_do_not_contradict_each_other(memory: Memory) -> None:
    add(memory, PARIS, "2024-03-01", agent_id="a")
    for scope in ({"user_id": "bob"}, {"user_id": "ana", "agent_id": "b"}, {}, {"user_id": "ana"}):
        assert memory.add(ROME, created_at="2025-02-01", **scope).conflicts == ()
    assert memory.add(
        ROME, created_at="2025-02-01", user_id="ana", agent_id="a", session_id="s"
    ).conflicts
    assert len(memory.scoped(user_id="ana", agent_id="a").conflicts()) == 1
    assert memory.scoped(user_id="bob").conflicts() == ()
    # The other end is in no session.
    assert memory.scoped(user_id="ana", session_id="s").conflicts() == ()


def test_one_can_be_confirmed_and_dismissed(memory: Memory) -> None:
    paris = add(memory, PARIS, "2024-03-01")
    rome = add(memory, ROME, "2025-02-01")
    oslo = add(memory, "I moved to Oslo", "2025-06-01")
    assert {(one.old, one.new) for one in memory.conflicts()} == {
        (paris, rome),
        (paris, oslo),
        (rome, oslo),
    }
    memory.supersede(paris, rome)
    memory.supersede(rome, oslo, undo=True)
    assert {(one.old, one.new) for one in memory.conflicts()} == {(paris, oslo)}
    assert len(memory.history(paris)) == 2


def test_what_was_retried_is_not_found_twice(memory: Memory) -> None:
    add(memory, PARIS, "2024-03-01")
    for _ in range(2):
        add(memory, ROME, "2025-02-01")
    assert len(memory.conflicts()) == 1


def test_it_goes_with_its_memories(memory: Memory) -> None:
    add(memory, PARIS, "2024-03-01")
    rome = add(memory, ROME, "2025-02-01")
    memory.update(rome, text="I like Rome")
    assert memory.conflicts() == ()
    add(memory, ROME, "2025-02-02")
    assert len(memory.conflicts()) == 1
    memory.forget(user_id="ana")
    assert memory.conflicts() == ()
    assert memory.verify().ok


def test_a_damaged_memory_is_passed_over(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        add(memory, PARIS, "2024-03-01")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = zeroblob(40)")
    with Memory(place, model=model) as memory:
        receipt = memory.add(ROME, user_id="ana", created_at="2025-02-01")
        assert receipt.ids
        assert receipt.conflicts == ()
