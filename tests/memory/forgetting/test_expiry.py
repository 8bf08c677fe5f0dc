"""Memories that expire: in no result from that moment on, and erased by `gc`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_model

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """The time, which goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(place: Path, model: ModelBundle, clock: Clock) -> Iterator[Memory]:
    with Memory(place, model=model, clock=clock) as memory:
        yield memory


def texts(memory: Memory, **scope: str) -> list[str]:
    return [chunk.text for chunk in memory.list(**scope)]


def files_have(place: Path, word: bytes) -> bool:
    return any(word in file.read_bytes() for file in place.rglob("*") if file.is_file())


# Hidden at once


def everything(memory: Memory, id: int, source_id: int) -> dict[str, Callable[[], Any]]:
    """Every way to read; each returns something false if nothing is there."""

    def found(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except UnknownIdError:
            return None

    tools = memory.as_tools()
    return {
        "list": lambda: list(memory.list()),
        "newest": lambda: list(memory.list(newest_first=True)),
        "filter": lambda: list(memory.list(where={"key": "k"})),
        "by source": lambda: list(memory.list(source_id=source_id)),
        "count": memory.count,
        "count of a scope": lambda: memory.count(user_id="ana"),
        "get": lambda: found(lambda: memory.get(id)),
        "source": lambda: found(lambda: memory.get_source(source_id)),
        "external": lambda: found(lambda: memory.get_source("x")),
        "update": lambda: found(lambda: memory.update(id, metadata={"key": "k"})),
        "update external": lambda: found(lambda: memory.update("x", metadata={"key": "k"})),
        "stats": lambda: memory.stats().memories,
        "stats of a scope": lambda: memory.stats(user_id="ana").sources,
        "tokens": lambda: memory.stats().tokens,
        "scopes": memory.scopes,
        "number of scopes": lambda: memory.stats().scopes,
        "tool": lambda: "boiler" in tools.call_tool("recall", {"query": "boiler code"}),
        **{
            mode: lambda mode=mode: memory.recall("boiler code", mode=mode)  # type: ignore[misc]
            for mode in ("hybrid", "vector", "lexical")
        },
        "candidates": lambda: memory.recall("boiler code", user_id="ana").candidates,
        "packed": lambda: memory.recall("boiler").pack(max_tokens=99, policy="auto").to_text(),
    }


def test_what_has_expired_is_in_no_result(memory: Memory, clock: Clock) -> None:
    receipt = memory.add(
        "The boiler code is 7714.",
        user_id="ana",
        id="x",
        metadata={"key": "k"},
        expires_at=NOON + HOUR,
    )
    calls = everything(memory, receipt.ids[0], receipt.sources[0])
    clock.now += HOUR - timedelta(microseconds=1)
    for name, call in calls.items():
        assert call(), name
    clock.now += timedelta(microseconds=1)
    for name, call in calls.items():
        assert not call(), name


def test_nor_is_it_found_beside_others(memory: Memory, clock: Clock) -> None:
    talk = [f"Sentence {n} about trains." for n in range(6)]
    for n, text in enumerate(talk):
        memory.add(
            text,
            session_id="s",
            created_at=NOON + timedelta(minutes=n),
            ttl=HOUR if n in (2, 5) else None,
        )
    clock.now += HOUR
    for expand in ("neighbors", "episode"):
        found = memory.recall("Sentence 1 about trains.", k=1, expand=expand)
        assert {hit.id for hit in found}.isdisjoint({3, 6})
    (hit, *around) = memory.recall("Sentence 1", k=1, mode="lexical", expand="neighbors")
    assert (hit.id, [one.id for one in around]) == (2, [1, 4])
    for mode in ("hybrid", "vector", "lexical"):
        found = memory.recall("about trains", k=9, mode=mode)
        assert sorted(hit.id for hit in found) == [1, 2, 4, 5]
        assert found.candidates == 4
    assert memory.stats().memories == memory.count() == 4
    assert memory.scopes()[0].memories == 4


@pytest.mark.parametrize("many", [False, True], ids=["by lookup", "by listing"])
def test_neighbors_in_a_large_scope(memory: Memory, clock: Clock, many: bool) -> None:
    memory.add([f"line {n}" for n in range(40 if many else 2)], session_id="s", ttl=2 * HOUR)
    memory.add("gone", session_id="s", ttl=HOUR)
    memory.add([f"more {n}" for n in range(40 if many else 2)], session_id="s")
    clock.now += HOUR
    found = memory.recall("more 0", k=1, mode="lexical", expand="neighbors")
    assert "gone" not in [hit.text for hit in found]
    assert len(found) == 3


def test_a_list_that_is_being_read(memory: Memory, clock: Clock) -> None:
    memory.add([f"line {n}" for n in range(300)], ttl=HOUR)
    lines = memory.list()
    assert next(lines).text == "line 0"
    clock.now += HOUR
    assert len(list(lines)) < 256


def test_another_process_needs_no_word_of_it(
    memory: Memory, place: Path, model: ModelBundle
) -> None:
    """Its own clock says so."""
    memory.add("The boiler code is 7714.", ttl=HOUR)
    with Memory(place, model=model, clock=lambda: NOON + HOUR) as later:
        assert later.count() == 0
        assert not later.recall("boiler")
    assert memory.count() == 1


# When


@pytest.mark.parametrize(
    "given",
    [
        {"ttl": 3600},
        {"ttl": 3600.0},
        {"ttl": HOUR},
        {"expires_at": NOON + HOUR},
        {"expires_at": "2026-05-03T13:00:00Z"},
        {"expires_at": "2026-05-03T15:00:00+02:00"},
        {"expires_at": (NOON + HOUR).timestamp()},
    ],
    ids=str,
)
def test_a_time_or_a_time_from_now(memory: Memory, given: dict[str, Any]) -> None:
    memory.add("Hello.", **given)
    (chunk,) = memory.list()
    assert chunk.source.expires_at == NOON + HOUR
    assert chunk.to_dict()["expires_at"] == "2026-05-03T13:00:00+00:00"


def test_messages_may_say_it_themselves(memory: Memory, clock: Clock) -> None:
    memory.add(
        [
            {"role": "user", "content": "one", "expires_at": "2026-05-03T13:00:00Z"},
            Message("two", expires_at=NOON + 2 * HOUR),
            Document("three", expires_at=NOON + 3 * HOUR),
            "four",
        ],
        expires_at=NOON + 4 * HOUR,
    )
    memory.add("five")
    for left in (["two", "three", "four"], ["three", "four"], ["four"], []):
        clock.now += HOUR
        assert texts(memory) == [*left, "five"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ttl": 0}, "above 0"),
        ({"ttl": -1}, "above 0"),
        ({"ttl": timedelta(0)}, "above 0"),
        ({"ttl": float("inf")}, "not finite"),
        ({"ttl": float("nan")}, "not finite"),
        ({"ttl": 1e18}, "9999"),
        ({"ttl": 10**400}, "9999"),
        ({"ttl": timedelta.max}, "9999"),
        ({"ttl": 5, "expires_at": NOON + HOUR}, "not both"),
        ({"expires_at": NOON}, "past"),
        ({"expires_at": "2001-01-01"}, "past.*forget"),
        ({"expires_at": "tomorrow"}, "cannot read the time"),
    ],
    ids=str,
)
def test_a_wrong_time(memory: Memory, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        memory.add("Hello.", **given)
    assert memory.count() == 0
    memory.add("Hello.", id="x")
    with pytest.raises(InputError, match=message):
        memory.update("x", **given)


@pytest.mark.parametrize("ttl", ["1", "7d", True, b"1"])
def test_a_ttl_is_a_number(memory: Memory, ttl: Any) -> None:
    with pytest.raises(TypeError, match=r"ttl must be.* such as timedelta\(days=7\)"):
        memory.add("Hello.", ttl=ttl)


# Changed


def test_update_changes_it_or_keeps_it(memory: Memory, clock: Clock) -> None:
    memory.add("Hello.", id="x", ttl=HOUR)
    memory.update("x", metadata={"a": 1})
    memory.update("x", text="Hello again.")
    assert memory.get_source("x").expires_at == NOON + HOUR
    receipt = memory.update("x", ttl=2 * HOUR)
    assert memory.get_source("x").expires_at == NOON + 2 * HOUR
    assert memory.get_source("x").metadata == {"a": 1}
    memory.update(receipt.ids[0], text="And again.", expires_at=NOON + 3 * HOUR)
    clock.now += 2 * HOUR
    assert memory.get_source("x").text == "And again."
    memory.update("x", text="And again.", expires_at=None)
    clock.now += 100 * HOUR
    assert memory.get_source("x").expires_at is None
    assert memory.verify().ok


def test_under_an_id_the_last_word_counts(memory: Memory, clock: Clock) -> None:
    first = memory.add("Hello.", id="x", ttl=HOUR)
    again = memory.add("Hello.", id="x", ttl=2 * HOUR)
    assert (again.ids, again.replaced) == (first.ids, first.ids)
    assert memory.get_source("x").expires_at == NOON + 2 * HOUR
    memory.add("Hello.", id="x")
    clock.now += 2 * HOUR
    assert texts(memory) == ["Hello."]


def test_an_expired_id_is_free(memory: Memory, clock: Clock) -> None:
    first = memory.add("Hello.", id="x", ttl=HOUR)
    clock.now += HOUR
    again = memory.add("Hello.", id="x")
    assert again.duplicates == again.replaced == ()
    assert again.sources != first.sources
    assert memory.get_source("x").created_at == clock.now
    assert memory.verify().ok
    assert memory.gc().ids == first.ids
    assert memory.get_source("x").text == "Hello."
    assert memory.verify().ok


def test_what_is_added_again_lives_as_long_as_it_says(memory: Memory, clock: Clock) -> None:
    """A retry must not make a memory end earlier, nor an acknowledged one disappear."""
    first = memory.add("Hello.", ttl=HOUR)
    assert memory.add("Hello.", ttl=2 * HOUR).duplicates == first.ids
    assert memory.get(first.ids[0]).source.expires_at == NOON + 2 * HOUR
    memory.add("Hello.", ttl=HOUR)
    assert memory.get(first.ids[0]).source.expires_at == NOON + 2 * HOUR
    assert memory.add(Document("Note"), ttl=HOUR).ids == memory.add(Document("Note")).duplicates
    assert memory.add("Hello.").duplicates == first.ids
    clock.now += 9 * HOUR
    assert texts(memory) == ["Hello.", "Note"]
    assert memory.verify().ok


# Transcripts and duplicates


def test_a_transcript_does_not_bring_it_back(memory: Memory, clock: Clock) -> None:
    talk: list[Any] = ["Hello.", "Hi! What is it?", "My PIN is 4711.", "Noted."]
    memory.add(talk[:2], session_id="s")
    memory.add(talk[2], session_id="s", ttl=HOUR)
    memory.add(talk[3], session_id="s")
    clock.now += HOUR
    receipt = memory.add([*talk, "Bye."], session_id="s")
    assert receipt.skipped == {"forgotten": 1}
    assert len(receipt.duplicates) == 3
    memory.gc()
    assert memory.add([*talk, "Bye.", "Bye!"], session_id="s").skipped == {"forgotten": 1}
    assert texts(memory) == ["Hello.", "Hi! What is it?", "Noted.", "Bye.", "Bye!"]


def test_a_message_that_says_that_it_is_over(memory: Memory, clock: Clock) -> None:
    pin = {"role": "user", "content": "My PIN is 4711.", "expires_at": NOON + HOUR}
    memory.add(["Hello.", pin], session_id="s")
    clock.now += HOUR
    receipt = memory.add(["Hello.", pin, "Bye."], session_id="s")
    assert receipt.skipped == {"expired": 1}
    assert len(receipt.ids) == 2
    assert memory.add(pin, session_id="s").ids == ()
    assert texts(memory) == ["Hello.", "Bye."]


@pytest.mark.parametrize(
    "said",
    [
        "Hello.",
        Document("Hello."),
        {"role": "system", "content": "Hello."},
        {"role": "user", "content": "Hello.", "id": "m"},
        {"role": "user", "content": "Hello.", "created_at": "2026-05-01"},
    ],
    ids=["message", "document", "system", "id", "time"],
)
def test_alone_it_is_stored_again(memory: Memory, clock: Clock, said: Any) -> None:
    memory.add(said, ttl=HOUR)
    clock.now += HOUR
    for _ in range(2):
        receipt = memory.add(said)
        assert receipt.ids == (2,)
    assert receipt.duplicates == (2,)
    assert texts(memory) == ["Hello."]
    memory.gc()
    assert memory.add(said).duplicates == (2,)
    assert memory.verify().ok


# Erased


def test_gc_erases_it(memory: Memory, place: Path, clock: Clock) -> None:
    memory.add(
        "The qwertzcode is 7714.", user_id="ana", id="jklmncode", metadata={"a": "zuiocode"}, ttl=60
    )
    memory.add("Stays.", user_id="ana")
    assert memory.gc().ids == ()
    clock.now += HOUR
    assert files_have(place, b"qwertz")
    assert memory.gc(dry_run=True).ids == (1,)
    assert files_have(place, b"qwertz")
    receipt = memory.gc()
    assert (receipt.ids, receipt.sources, receipt.purged) == ((1,), 1, True)
    for word in (b"qwertz", b"jklmn", b"zuio"):
        assert not files_have(place, word)
    assert memory.gc().ids == ()
    assert texts(memory) == ["Stays."]
    assert memory.verify().ok


def test_gc_keeps_to_the_scope_of_a_handle(memory: Memory, clock: Clock) -> None:
    for user in ("ana", "bo"):
        memory.add("Hello.", user_id=user, ttl=HOUR)
    clock.now += HOUR
    assert memory.scoped(user_id="ana").gc().ids == (1,)
    assert memory.gc().ids == (2,)


def test_forget_erases_what_has_expired_too(memory: Memory, clock: Clock) -> None:
    memory.add(["one", "two"], user_id="ana", ttl=HOUR)
    memory.add("three", user_id="ana", ttl=HOUR, id="x")
    clock.now += HOUR
    assert memory.forget(["x"]).ids == (3,)
    assert memory.forget(user_id="ana").ids == (1, 2)
    assert memory.gc().ids == ()


def test_maintenance_knows_what_has_expired(memory: Memory, place: Path, clock: Clock) -> None:
    memory.add("one", ttl=HOUR)
    memory.add("two")
    clock.now += HOUR
    memory.reindex()
    found = memory.verify()
    assert (found.ok, found.checked) == (True, 2)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET expires_at = 1 WHERE id = 2")
    (damage,) = memory.verify().damage
    assert damage.id == 2
    assert "when it expires was altered" in damage.what


@pytest.mark.parametrize("wrong", ["'x'", "x'00'", "9223372036854775807", "1.5"])
def test_a_damaged_time_hides_nothing(memory: Memory, place: Path, wrong: str) -> None:
    memory.add("one", ttl=HOUR)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute(f"UPDATE sources SET expires_at = {wrong}")
    assert memory.count() == (wrong != "1.5")
    assert not memory.verify().ok
    assert memory.forget(where={"source_id": 1}).ids == (1,)


# Sequences

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.sampled_from([None, 1, 2, 5])),
        st.tuples(st.just("wait"), st.integers(1, 3), st.none()),
        st.tuples(st.just("gc"), st.none(), st.none()),
    ),
    max_size=12,
)


@given(steps=STEPS)
def test_what_lives_is_there_and_nothing_else(steps: list[Any]) -> None:
    clock = Clock()
    there: dict[int, datetime | None] = {}
    with Memory(":memory:", model=tiny_model(), clock=clock) as memory:
        for step, number, hours in steps:
            if step == "add":
                memory.add(f"text {number}", id=f"{number}", ttl=hours and hours * HOUR)
                there[number] = hours and clock.now + hours * HOUR
            elif step == "wait":
                clock.now += number * HOUR
            else:
                memory.gc()
            alive = {n for n, end in there.items() if end is None or end > clock.now}
            found = {int(chunk.source.external_id or "") for chunk in memory.list()}
            assert found == alive
            assert {hit.id for hit in memory.recall("text", k=9)} == {c.id for c in memory.list()}
        assert memory.verify().ok


def test_async(place: Path, model: ModelBundle, clock: Clock) -> None:
    async def session() -> None:
        async with AsyncMemory(place, model=model, clock=clock) as memory:
            await memory.add("Hello.", ttl=HOUR)
            clock.now += HOUR
            assert await memory.count() == 0
            assert (await memory.gc()).ids == (1,)

    asyncio.run(session())


def test_what_a_flipped_bit_says_has_expired_is_not_erased(
    memory: Memory, clock: Clock, place: Path
) -> None:
    memory.add("Tea for two.", user_id="ana")
    memory.add("Gone at one.", user_id="ana", ttl=HOUR)
    memory.add("Gone at four.", user_id="ana", ttl=4 * HOUR)
    clock.now += 2 * HOUR
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET expires_at = 5 WHERE id IN (1, 3)")
    assert [one.id for one in memory.verify().damage] == [1, 3]
    assert memory.gc(dry_run=True).ids == memory.gc().ids == (2,)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET expires_at = NULL WHERE id = 1")
    assert texts(memory) == ["Tea for two."]
    assert memory.forget(ids=[3]).ids == (3,)
    assert memory.verify().ok
