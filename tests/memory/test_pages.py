"""Lists in pages: each memory on one of them, whatever is changed in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_model

LONG = " ".join(f"word{n}" for n in range(900))


def pages(memory: Memory, size: int, **more: Any) -> list[list[int]]:
    found: list[list[int]] = []
    after = None
    while page := [chunk.id for chunk in memory.list(limit=size, after=after, **more)]:
        found.append(page)
        after = page[-1]
    return found


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.add(LONG, user_id="ana")
    memory.add([f"text {n}" for n in range(10)], user_id="ana", metadata={"even": True})
    memory.add("Bo's", user_id="bo")
    memory.update(1, text=f"{LONG} and more")  # higher ids in the same place
    return memory


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("more", [{}, {"user_id": "ana"}, {"where": {"even": True}}], ids=str)
def test_pages_are_the_list(
    filled: Memory, size: int, more: dict[str, Any], newest_first: bool
) -> None:
    whole = [chunk.id for chunk in filled.list(newest_first=newest_first, **more)]
    found = pages(filled, size, newest_first=newest_first, **more)
    assert [id for page in found for id in page] == whole
    assert all(len(page) == size for page in found[:-1])


def test_a_limit_of_none_and_of_nothing(filled: Memory) -> None:
    assert list(filled.list(limit=0)) == []
    assert len(list(filled.list(limit=None))) == filled.count()


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_last_of_a_page_may_be_replaced(memory: Memory, newest_first: bool) -> None:
    memory.add([f"text {n}" for n in range(6)])
    order = [1, 2, 3, 4, 5, 6][:: -1 if newest_first else 1]
    page = [chunk.id for chunk in memory.list(limit=3, newest_first=newest_first)]
    assert page == order[:3]
    memory.update(page[-1], text="another text")
    rest = [chunk.id for chunk in memory.list(after=page[-1], newest_first=newest_first)]
    assert rest == order[3:]


def test_what_is_forgotten_is_no_end_of_a_page(filled: Memory) -> None:
    page = [chunk.id for chunk in filled.list(user_id="ana", where={"even": True}, limit=2)]
    filled.forget([page[0]])
    rest = list(filled.list(after=page[1], user_id="ana"))
    assert len(rest) == 8
    filled.forget([page[1]])
    with pytest.raises(UnknownIdError, match=rf"has the id {page[1]}.*still there"):
        next(filled.list(after=page[1], user_id="ana"))


def test_nor_is_what_belongs_to_others(filled: Memory) -> None:
    (bos,) = [chunk.id for chunk in filled.list(user_id="bo")]
    with pytest.raises(UnknownIdError):
        next(filled.list(after=bos, user_id="ana"))
    with pytest.raises(UnknownIdError):  # its text was replaced, but it is Ana's
        next(filled.list(after=1, user_id="bo"))
    assert list(filled.scoped(user_id="bo").list(after=bos)) == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"limit": -1}, InputError),
        ({"limit": 1.5}, TypeError),
        ({"limit": True}, TypeError),
        ({"after": "1"}, TypeError),
        ({"after": 2**80}, InputError),
        ({"after": 0}, UnknownIdError),
    ],
    ids=str,
)
def test_a_wrong_page(memory: Memory, given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        next(memory.list(**given), None)


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    changes=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=4),
)
def test_no_memory_is_missed_or_seen_twice(
    sizes: list[int], changes: list[tuple[int, bool]]
) -> None:
    """Whatever is replaced or added between two pages."""
    with Memory(":memory:", model=tiny_model()) as memory:
        sources = list(memory.add([f"text {n}" for n in range(8)]).sources)
        seen: list[int] = []
        after, number = None, 0
        while page := list(memory.list(limit=sizes[number % len(sizes)], after=after)):
            seen += [chunk.source.id for chunk in page]
            after = page[-1].id
            if number < len(changes):
                which, adding = changes[number]
                (chunk,) = memory.list(source_id=sources[which])
                memory.update(chunk.id, text=f"changed {number}")
                if adding:
                    sources += memory.add(f"added {number}").sources
            number += 1
        assert seen == sources


def test_async(place: Path, model: ModelBundle) -> None:
    async def session() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add([f"text {n}" for n in range(5)])
            page = [chunk.id async for chunk in memory.list(limit=2, after=2)]
            assert page == [3, 4]

    asyncio.run(session())
