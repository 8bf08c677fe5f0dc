"""Which turns are of one conversation."""

from __future__ import annotations

import pytest

from agentmem.retrieval.conversation import GAP, REACH, conversation
from agentmem_storage.records import Turn

MINUTE = 60_000_000
GAP_MINUTES = int(GAP.total_seconds()) // 60


def turns(*spoken: tuple[str | None, int]) -> dict[int, Turn]:
    """Turns with ids from 0, each by a speaker at a minute."""
    return {
        id: Turn(5, id, minute * MINUTE, speaker) for id, (speaker, minute) in enumerate(spoken)
    }


def around(id: int, known: dict[int, Turn]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return conversation(id, (tuple(range(id - 1, -1, -1)), tuple(range(id + 1, len(known)))), known)


def test_two_who_speak_by_turns() -> None:
    known = turns(*((("A", "B")[n % 2], n) for n in range(9)))
    assert around(4, known) == ((3, 2, 1), (5, 6, 7))
    assert around(0, known) == ((), (1, 2, 3))
    assert REACH == 3


@pytest.mark.parametrize(("more", "after"), [(0, (1,)), (1, ())])
def test_a_long_gap_ends_it(more: int, after: tuple[int, ...]) -> None:
    assert around(0, turns(("A", 0), ("B", GAP_MINUTES + more)))[1] == after


def test_behind_a_gap_nothing_is_of_it() -> None:
    known = turns(("B", 0), ("A", 60), ("B", 61), ("A", 200), ("B", 201))
    assert around(1, known) == ((), (2,))


def test_a_document_between_two_turns_ends_it() -> None:
    assert around(0, turns(("A", 0), (None, 0), ("B", 0))) == ((), ())
    assert around(1, turns(("A", 0), (None, 0), ("B", 0))) == ((), ())


def test_ones_own_lines_are_no_conversation() -> None:
    assert around(1, turns(("A", 0), ("A", 1), ("A", 2))) == ((), ())
    assert around(1, turns(("A", 0), ("A", 1), ("B", 2))) == ((0,), (2,))


def test_a_damaged_time_is_no_error() -> None:
    known = {0: Turn(5, 0, None, "A"), 1: Turn(5, 1, 0, "B")}  # type: ignore[arg-type]
    assert around(0, known) == ((), (1,))
