"""How many threads encode long lists, and how they share the work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from agentmem.errors import InputError
from agentmem.ingest import threads
from agentmem.ingest.threads import VARIABLE, map_in_threads, thread_count


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_number_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "7")
    assert thread_count(3) == 3
    assert thread_count() == 7


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (64, 4)])
def test_by_default_one_for_each_core_but_not_more_than_four(
    monkeypatch: pytest.MonkeyPatch, cores: int, expected: int
) -> None:
    monkeypatch.setattr(threads, "_cores", lambda: cores)
    assert thread_count() == expected
    monkeypatch.setenv(VARIABLE, " ")  # as good as unset
    assert thread_count() == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs sched_getaffinity")
def test_cores_that_the_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert thread_count() == 1


@pytest.mark.parametrize("text", ["0x2", "-1", "2.5", "two", "२"])
def test_a_variable_that_is_no_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(InputError, match=f"variable AGENTMEM_THREADS is {text!r}: set it to a wh"):
        thread_count()


@pytest.mark.parametrize("number", [0, -2])
def test_less_than_one(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with pytest.raises(InputError, match=f"threads must be 1 or more, got {number}"):
        thread_count(number)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(map_in_threads(str, range(20), count)) == list(map(str, range(20)))
    assert list(map_in_threads(str, [], count)) == []


def test_a_single_item_needs_no_thread() -> None:
    assert list(map_in_threads(lambda _: threading.get_ident(), [1], 4)) == [threading.get_ident()]


def test_items_are_worked_on_at_once() -> None:
    both = threading.Barrier(2)  # breaks, and raises, if one waits for the other in vain
    assert sorted(map_in_threads(lambda _: both.wait(timeout=60), [0, 1], 2)) == [0, 1]


def test_an_error_is_raised_and_what_has_not_begun_does_not_begin() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(map_in_threads(work, range(10_000), 2))
    assert len(begun) < 10_000
    assert _alive() == 0


def test_threads_end_when_nobody_takes_the_results() -> None:
    found = map_in_threads(str, range(1000), 2)
    assert next(found) == "0"
    close: Callable[[], None] = found.close  # type: ignore[attr-defined]
    close()
    assert _alive() == 0


def _alive() -> int:
    return sum(one.name.startswith("agentmem-encode") for one in threading.enumerate())
