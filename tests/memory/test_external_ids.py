"""Upserting by the caller's own id: written once, replaced when it changes, found and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_model
from tests.memory.concurrency.test_processes import Worker, other, worker

__all__ = ["other", "worker"]  # fixtures

MAY = datetime(2026, 5, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def listed(memory: Memory) -> list[tuple[str | None, str]]:
    return [(chunk.source.external_id, chunk.text) for chunk in memory.list()]


def bytes_of(place: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file())


def written(place: Path) -> list[bytes]:
    return [(place / name).read_bytes() for name in ("memory.db", "memory.db-wal")]


# Again, and changed


def test_the_same_again_is_a_replay(memory: Memory, place: Path) -> None:
    first = memory.add("I am vegan.", id="diet", user_id="ana", metadata={"a": 1, "b": [2]})
    assert first.replaced == first.duplicates == ()
    before = written(place)
    again = memory.add("I am vegan.", id="diet", user_id="ana", metadata={"b": [2], "a": 1})
    assert (again.ids, again.duplicates, again.replaced) == (first.ids, first.ids, ())
    assert again.tokens == 0
    assert written(place) == before


def test_other_content_takes_its_place(memory: Memory, place: Path) -> None:
    first = memory.add("I eat zanzibarpie.", id="diet", user_id="ana", created_at=MAY)
    memory.add("Noted.", user_id="ana", created_at=JUNE)
    second = memory.add("I eat no meat.", id="diet", user_id="ana")
    assert second.replaced == second.ids != first.ids
    assert second.duplicates == ()
    assert second.sources == first.sources
    assert second.tokens > 0
    assert listed(memory) == [("diet", "I eat no meat."), (None, "Noted.")]
    # Its place and time are those of before: none was given.
    assert memory.get_source("diet").created_at == MAY
    assert memory.recall("what do I eat?", user_id="ana", mode="lexical")[0].id == second.ids[0]
    assert memory.recall("zanzibarpie", user_id="ana", mode="lexical").candidates == 2
    assert not [hit for hit in memory.recall("zanzibarpie", mode="lexical")]
    assert b"zanzibarpie" not in bytes_of(place)
    with pytest.raises(UnknownIdError) as caught:
        memory.get(first.ids[0])
    assert caught.value.became == second.ids
    assert memory.verify().ok


def test_what_belongs_to_it_is_replaced_too(memory: Memory) -> None:
    memory.add(Message("Hello.", "user", name="Ana", created_at=MAY, external_id="m"))
    memory.add(Message("Hello.", "assistant", name="Bo", created_at=JUNE, external_id="m"))
    (chunk,) = memory.list()
    assert (chunk.role, chunk.name, chunk.created_at) == ("assistant", "Bo", JUNE)
    memory.add(Document("Hello.", title="Note", uri="n.md", external_id="m"))
    (chunk,) = memory.list()
    source = chunk.source
    assert (source.kind, source.title, source.uri, chunk.role) == ("document", "Note", "n.md", None)
    assert chunk.name is None
    assert memory.verify().ok


@pytest.mark.parametrize(
    "second", [{"metadata": {"sure": True}}, {"created_at": JUNE}], ids=["metadata", "time"]
)
def test_metadata_and_time_count(memory: Memory, second: dict[str, Any]) -> None:
    memory.add("I am vegan.", id="diet", created_at=MAY, metadata={"sure": False})
    first = {"created_at": MAY, "metadata": {"sure": False}}
    receipt = memory.add("I am vegan.", id="diet", **{**first, **second})
    assert receipt.replaced == receipt.ids
    (chunk,) = memory.list()
    wanted = {**first, **second}
    assert (chunk.created_at, chunk.metadata) == (wanted["created_at"], wanted["metadata"])
    assert [hit.id for hit in memory.recall("vegan", where={"sure": {"exists": True}})]
    assert memory.add("I am vegan.", id="diet", **wanted).duplicates == (chunk.id,)


def test_a_longer_text_has_more_memories(memory: Memory) -> None:
    long = " ".join(f"word{n}" for n in range(900))
    for text in ("short", long, "short again"):
        receipt = memory.add(text, id="x")
        assert memory.get_source("x").text == text
        assert memory.count() == len(receipt.ids)
    assert memory.verify().ok


def test_an_id_is_of_its_scope(memory: Memory) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"user_id": "ana"},
        {"user_id": "ana", "session_id": "s"},
        {"user_id": "bo"},
        {"agent_id": "ana"},
    ]
    for number, scope in enumerate(scopes):
        assert memory.add(f"text {number}", id="x", **scope).replaced == ()
    assert memory.count() == len(scopes)
    assert memory.get_source("x", user_id="bo").text == "text 3"
    with pytest.raises(InputError, match=r"several scopes.*'x'.*session_id="):
        memory.get_source("x", user_id="ana")
    with pytest.raises(InputError, match="several scopes"):
        memory.forget(["x"])
    with pytest.raises(InputError, match="several scopes"):
        memory.update("x", metadata={})
    assert memory.count() == len(scopes)
    assert memory.scoped(user_id="bo").forget(["x"]).ids == (4,)
    assert memory.get_source("x", agent_id="ana").text == "text 4"


def test_texts_with_an_id_equal_no_others(memory: Memory) -> None:
    memory.add(["Hello.", "Hi!"], session_id="s")
    for id in ("a", "b"):
        assert memory.add("Hello.", id=id, session_id="s").duplicates == ()
    memory.add(Document("Note", external_id="c"))
    assert memory.add(Document("Note")).duplicates == ()
    assert memory.count() == 6
    # Nor do they stand in the way of a transcript that is added again.
    again = memory.add(["Hello.", "Hi!", "How are you?"], session_id="s")
    assert again.duplicates == (1, 2)


def test_several_in_one_call(memory: Memory) -> None:
    memory.add([Message("one", external_id="1"), Message("two", external_id="2")])
    receipt = memory.add(
        [
            {"role": "user", "content": "one", "external_id": "1"},
            {"role": "user", "content": "zwei", "external_id": "2"},
            {"role": "user", "content": "three", "external_id": "3"},
            "four",
        ]
    )
    assert receipt.duplicates == (1,)
    assert len(receipt.replaced) == 1
    assert listed(memory) == [("1", "one"), ("2", "zwei"), ("3", "three"), (None, "four")]
    assert receipt.ids == tuple(chunk.id for chunk in memory.list())


# A message's own id, which is the vendor's


def test_the_id_in_a_message_replaces_nothing(memory: Memory) -> None:
    """Claude Code writes one line for each block of a message, all with the id of the message."""
    for text in ("I look.", "I found it."):
        memory.add({"role": "assistant", "id": "msg_1", "content": text}, session_id="s")
    assert [chunk.text for chunk in memory.list()] == ["I look.", "I found it."]
    memory.add({"role": "user", "id": "m", "external_id": "x", "content": "a"}, session_id="s")
    memory.add({"role": "user", "id": "n", "external_id": "x", "content": "b"}, session_id="s")
    assert memory.get_source("x").metadata == {"message_id": "n"}
    assert memory.verify().ok


# Reading, changing and forgetting by it


def test_it_is_seen_and_found(memory: Memory) -> None:
    for n in range(5):
        memory.add(f"note {n}", id=f"note-{n}", user_id="ana")
    memory.add("another", user_id="ana")
    assert memory.get(3).to_dict()["external_id"] == "note-2"
    assert memory.get_source("note-2", user_id="ana").to_dict()["external_id"] == "note-2"

    def numbers(where: dict[str, Any]) -> list[int]:
        return [chunk.id for chunk in memory.list(where=where)]

    assert numbers({"external_id": "note-2"}) == [3]
    assert numbers({"external_id": {"in": ["note-4", "note-1", "x"]}}) == [2, 5]
    assert numbers({"external_id": {"in": ["note-4", None]}}) == [5, 6]
    assert numbers({"external_id": {"gte": "note-3"}}) == [4, 5]
    assert numbers({"external_id": None}) == [6]
    assert numbers({"external_id": {"ne": "note-0"}}) == [2, 3, 4, 5]
    assert numbers({"not": {"external_id": "note-0"}}) == [2, 3, 4, 5, 6]
    assert [hit.id for hit in memory.recall("note", where={"external_id": "note-2"})] == [3]


def test_update_keeps_it(memory: Memory) -> None:
    memory.add("The meeting is on Friday.", id="meeting", metadata={"room": 1})
    memory.update("meeting", text="The meeting is on Monday.")
    memory.update("meeting", metadata={"room": 2})
    source = memory.get_source("meeting")
    assert (source.text, source.metadata) == ("The meeting is on Monday.", {"room": 2})
    again = memory.add("The meeting is on Monday.", id="meeting", metadata={"room": 2})
    assert again.duplicates == again.ids
    back = memory.add("The meeting is on Friday.", id="meeting")
    assert back.replaced == back.ids
    assert memory.verify().ok
    with pytest.raises(UnknownIdError, match="'nothing'"):
        memory.update("nothing", metadata={})


def test_forget_by_it(memory: Memory, place: Path) -> None:
    memory.add("The qwertzcode is 7714.", id="code", user_id="ana")
    memory.add("Something else.", id="other", user_id="ana")
    assert memory.forget(["code"], dry_run=True).ids == (1,)
    with pytest.raises(UnknownIdError, match="'none'"):
        memory.forget(["code", "none"])
    with pytest.raises(TypeError, match="both"):
        memory.forget(["code", 2])
    with pytest.raises(TypeError, match=r"\['note-12'\]"):
        memory.forget("code")  # type: ignore[arg-type]
    assert memory.count() == 2
    assert memory.forget(["code"], user_id="ana").purged
    assert listed(memory) == [("other", "Something else.")]
    assert b"qwertzcode" not in bytes_of(place)
    # It was not said in a conversation, so nothing of it is kept to recognize it.
    again = memory.add(["Hello.", Message("The qwertzcode is 7714.", external_id="code")])
    assert again.skipped == {}
    assert memory.get_source("code").text == "The qwertzcode is 7714."


def test_part_of_it_may_be_forgotten(memory: Memory) -> None:
    long = " ".join(f"word{n}" for n in range(900))
    receipt = memory.add(long, id="x")
    memory.forget([receipt.ids[0]])
    assert not memory.get_source("x").complete
    whole = memory.add(long, id="x")
    assert whole.replaced == whole.ids
    assert memory.get_source("x").text == long


# What is refused


@pytest.mark.parametrize(
    ("content", "id", "message"),
    [
        ("a", "", "non-blank"),
        ("a", " ", "non-blank"),
        ("a", 17, r"str\(17\)"),
        ("a", "\ud800", "surrogate"),
        ("a", "a\0b", "NUL"),
        (["a", "b"], "x", "one text, and the content has 2"),
        ({"role": "user", "content": "a", "external_id": "y"}, "x", "'y', but id='x'"),
        ([Message("a", external_id="x"), Message("b", external_id="x")], None, "'x' stands twice"),
        ({"role": "user", "content": "a", "external_id": 3}, None, "the message: an external id"),
        (Document("a", external_id=""), None, "the document: an external id"),
    ],
)
def test_a_wrong_id(memory: Memory, content: Any, id: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        memory.add(content, id=id)
    assert memory.count() == 0


def test_a_message_of_several_texts_has_none(memory: Memory) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "I look.", "tool_calls": calls}
    with pytest.raises(InputError, match=r"'x' is for one text, and this has 2"):
        memory.add({**message, "external_id": "x"})
    with pytest.raises(InputError, match=r"id='x' is for one text"):
        memory.add(message, id="x")
    assert memory.count() == 0


# Sequences of calls

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["ana", "bo"]),
        st.sampled_from(["one", "two", None]),
        st.sampled_from([{}, {"n": 1}]),
    ),
    max_size=8,
)


@given(steps=STEPS)
def test_the_last_of_each_is_what_is_there(
    steps: list[tuple[str, str, str | None, dict[str, Any]]],
) -> None:
    there: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    with Memory(":memory:", model=tiny_model()) as memory:
        for id, user, text, metadata in steps:
            known = there.get((user, id))
            if text is None:
                if known:
                    memory.forget([id], user_id=user)
                    del there[user, id]
                continue
            receipt = memory.add(text, id=id, user_id=user, metadata=metadata)
            assert bool(receipt.duplicates) == (known == (text, metadata))
            assert bool(receipt.replaced) == (known not in (None, (text, metadata)))
            there[user, id] = text, metadata
        found = {
            (chunk.scope.user_id, chunk.source.external_id): (chunk.text, chunk.metadata)
            for chunk in memory.list()
        }
        assert found == there
        assert memory.count() == len(there)
        assert memory.verify().ok


# Several writers


def test_two_processes_that_put_the_same_ids(
    memory: Memory, place: Path, worker: Worker, other: Callable[[str], Any]
) -> None:
    assert other("mem.count()") == 0
    put = "[mem.add(f'they say {n % 7}', id=str(n % 3), user_id='u').ids for n in range(21)]"
    worker.tell(f"(lambda mem: len({put}))(opened({str(place)!r}))")
    for n in range(21):
        assert memory.add(f"we say {n % 5}", id=str(n % 3), user_id="u").ids
    assert worker.answer() == 21
    assert sorted(id for id, _ in listed(memory) if id) == ["0", "1", "2"]
    assert memory.count() == 3
    # The last word of each writer is there, or that of the other one came after it.
    assert {text for _, text in listed(memory)} <= {
        *(f"we say {n % 5}" for n in (18, 19, 20)),
        *(f"they say {n % 7}" for n in (18, 19, 20)),
    }
    assert memory.verify().ok
    for id, text in listed(memory):
        assert other(f"mem.get_source({id!r}).text") == text


def test_what_another_writer_puts_meanwhile_is_replaced(
    memory: Memory, place: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is there and the write of what is new."""
    memory.add("first", id="x")
    add, raced = memory._store.add, []

    def race(*args: Any, **more: Any) -> Any:
        if not raced:
            raced.append(True)
            with Memory(place, model=model) as theirs:
                theirs.add("theirs", id="x")
                theirs.add("new there", id="y")
        return add(*args, **more)

    monkeypatch.setattr(memory._store, "add", race)
    receipt = memory.add([Message("ours", external_id="x"), Message("new", external_id="y")])
    assert receipt.replaced == receipt.ids
    assert listed(memory) == [("x", "ours"), ("y", "new")]
    assert not memory.recall("theirs", mode="lexical")
    assert memory.verify().ok


def test_async(place: Path, model: ModelBundle) -> None:
    async def session() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await asyncio.gather(*(memory.add(f"text {n}", id="x") for n in range(4)))
            assert (await memory.get_source("x")).text == "text 3"
            assert await memory.count() == 1
            await memory.forget(["x"])
            assert await memory.count() == 0

    asyncio.run(session())


def test_only_other_metadata_among_statements_that_are_new(memory: Memory) -> None:
    """What was written is compared with earlier memories; what only has other metadata is not."""
    memory.add([Message("I live in Paris.", external_id="a"), Message("Hi.", external_id="b")])
    receipt = memory.add(
        [
            Message("I live in Paris.", external_id="a", metadata={"n": 1}),
            Message("I moved to Rome!", external_id="c"),
            Message("Hi.", external_id="b"),
        ]
    )
    assert receipt.ids == (1, 3, 2)
    assert (receipt.replaced, receipt.duplicates) == ((1,), (2,))
    assert memory.verify().ok
