"""One memory used by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle

THREADS = 8
EACH = 5


def in_threads(work: Callable[[int], None]) -> None:
    """Run ``work(0)`` … at the same time; the first error is raised."""
    start = threading.Barrier(THREADS)

    def one(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS)))


@pytest.fixture(params=["folder", ":memory:"])
def anywhere(request: pytest.FixtureRequest, place: Path, model: ModelBundle) -> Iterator[Memory]:
    with Memory(place if request.param == "folder" else ":memory:", model=model) as memory:
        yield memory


def test_adding_and_recalling_at_once_loses_nothing(anywhere: Memory) -> None:
    ids: list[dict[int, str]] = [{} for _ in range(THREADS)]

    def work(number: int) -> None:
        user = f"user{number}"
        for turn in range(EACH):
            text = f"turn {turn} of {user}"
            (id,) = anywhere.add(text, user_id=user).ids
            ids[number][id] = text
            found = anywhere.recall(text, k=EACH, user_id=user)
            assert {hit.id for hit in found} == set(ids[number])
            assert {hit.text for hit in found} == set(ids[number].values())

    in_threads(work)
    everything = {id: text for own in ids for id, text in own.items()}
    assert len(everything) == THREADS * EACH
    assert {chunk.id: chunk.text for chunk in anywhere.list()} == everything
    assert anywhere.verify().ok


def test_the_same_text_from_all_threads_is_one_memory(memory: Memory) -> None:
    receipts = []
    in_threads(lambda number: receipts.append(memory.add("I am vegan", user_id="ana")))
    assert len({receipt.ids for receipt in receipts}) == 1
    assert sum(not receipt.duplicates for receipt in receipts) == 1
    assert memory.stats().memories == 1


def test_reading_while_others_forget(memory: Memory) -> None:
    """Readers see what is there; that a hit has just been forgotten is no error."""
    memory.add("what stays for good", user_id="ana")
    memory.add([f"what goes {n}" for n in range(THREADS * 3)], user_id="ana")
    ids = [chunk.id for chunk in memory.list()][1:]

    def work(number: int) -> None:
        if number % 2:
            for id in ids[number * 3 : number * 3 + 3]:
                memory.forget([id])
            return
        for _ in range(12):
            found = memory.recall("what goes and stays", k=50, user_id="ana")
            assert "what stays for good" in {hit.text for hit in found}
            assert "what stays for good" in {chunk.text for chunk in memory.list()}

    in_threads(work)
    assert memory.stats().memories == 1 + THREADS * 3 // 2
    assert memory.verify().ok


def test_forgetting_the_same_from_all_threads(memory: Memory) -> None:
    memory.add([f"what goes {n}" for n in range(40)], user_id="ana")
    memory.add("what stays", user_id="bob")

    def work(number: int) -> None:
        memory.forget(user_id="ana")

    in_threads(work)
    assert [chunk.text for chunk in memory.list()] == ["what stays"]
    assert memory.verify().ok


def test_verifying_while_others_write(memory: Memory) -> None:
    memory.add([f"note {n}" for n in range(50)])

    def work(number: int) -> None:
        for turn in range(3):
            if number % 2:
                assert memory.verify().ok
            else:
                (id,) = memory.add(f"{turn} by {number}").ids
                memory.update(id, text=f"{turn} changed by {number}")

    in_threads(work)
    assert memory.stats().memories == 50 + 3 * THREADS // 2
