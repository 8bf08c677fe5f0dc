"""`Memory.update`: a new text or new metadata for a stored source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory, Message
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle

Unchanged = Callable[[Memory], AbstractContextManager[None]]

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SAID = Message(
    "The password is Xylophon.", "assistant", name="Ada", created_at=NOON, metadata={"n": 1}
)


def raw(place: Path) -> bytes:
    """All bytes of all files of a store, in lower case, as words stand in the lexical index."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in files).lower()


@pytest.mark.parametrize("keep", [False, True], ids=["text not kept", "text kept"])
def test_a_new_text_takes_the_place_of_the_old(place: Path, model: ModelBundle, keep: bool) -> None:
    with Memory(place, model=model, keep_text=keep) as memory:
        memory.add("something else", user_id="ana")
        (old,) = memory.add(SAID, user_id="ana", session_id="s").ids
        before = memory.get(old)
        memory.recall("password", user_id="ana")
        assert b"xylophon" in raw(place)

        receipt = memory.update(old, text="The password is Zither! 🙂")

        (new,) = receipt.ids
        after = memory.get(new)
        assert after.text == "The password is Zither! 🙂"
        assert new != old
        assert receipt.sources == (before.source.id,)
        assert after.source.id == before.source.id
        assert receipt.tokens == after.tokens
        for name in ("scope", "role", "name", "created_at", "metadata"):
            assert getattr(after, name) == getattr(before, name), name
        with pytest.raises(UnknownIdError, match=f"memory {old} was replaced .* now has id {new}"):
            memory.get(old)
        assert memory.recall("Xylophon", mode="lexical", user_id="ana").hits == ()
        assert memory.recall("Zither", mode="lexical", user_id="ana")[0].id == new
        assert new in {hit.id for hit in memory.recall("Zither", mode="vector", user_id="ana")}
        assert old not in {hit.id for hit in memory.recall("Xylophon", mode="vector", k=9)}
        assert b"xylophon" not in raw(place)
        assert memory.verify().ok
    assert b"xylophon" not in raw(place)


def test_the_whole_source_changes_whichever_chunk_is_named(memory: Memory) -> None:
    long = "\n\n".join(f"Paragraph {n}. " + "Some words of it. " * 30 for n in range(12))
    ids = memory.add(Document(long, title="draft")).ids
    assert len(ids) > 5
    receipt = memory.update(ids[3], text=long.replace("words", "letters"))
    chunks = list(memory.list())
    assert tuple(chunk.id for chunk in chunks) == receipt.ids
    assert set(receipt.ids).isdisjoint(ids)
    assert "".join(chunk.text for chunk in chunks) == long.replace("words", "letters")
    assert {chunk.source.title for chunk in chunks} == {"draft"}
    assert memory.verify().ok


def test_several_new_fields_are_one_change(place: Path, model: ModelBundle) -> None:
    """Whoever is killed meanwhile has made all of it or nothing."""
    with Memory(place, model=model, audit=True) as memory:
        (id,) = memory.add(SAID, user_id="ana").ids
        memory.update(id, metadata={"m": 2}, created_at="2025-01-01", expires_at="9999-01-01")
        source = memory.get(id).source
        assert source.metadata == {"m": 2}
        assert source.expires_at is not None
        assert (source.created_at.year, source.expires_at.year) == (2025, 9999)
        assert [line.op for line in memory.audit()] == ["began", "added", "changed"]
        assert memory.verify().ok


def test_new_metadata_take_the_place_of_the_old(memory: Memory) -> None:
    (id,) = memory.add(SAID, user_id="ana").ids
    before = memory.get(id)
    receipt = memory.update(id, metadata={"m": [1, None]})
    after = memory.get(id)
    assert (receipt.ids, receipt.duplicates, receipt.tokens) == ((id,), (), 0)
    assert dict(after.metadata) == {"m": [1, None]}
    assert (after.text, after.created_at, after.role) == (before.text, NOON, "assistant")
    assert memory.recall("password", where={"n": 1}).candidates == 0
    assert memory.recall("password", where={"m": {"contains": 1}})[0].id == id
    memory.update(id, metadata={})
    assert dict(memory.get(id).metadata) == {}


class TestTimes:
    LATER = datetime(2026, 6, 1, 9, tzinfo=UTC)

    @pytest.mark.parametrize("given", [LATER, "2026-06-01T09:00:00Z"], ids=["datetime", "string"])
    def test_a_new_time_takes_the_place_of_the_old(
        self, memory: Memory, given: datetime | str
    ) -> None:
        (id,) = memory.add(SAID, user_id="ana").ids
        assert memory.update(id, created_at=given).ids == (id,)
        after = memory.get(id)
        assert (after.created_at, after.text, dict(after.metadata)) == (
            self.LATER,
            SAID.content,
            {"n": 1},
        )
        assert [chunk.id for chunk in memory.list(since="2026-05-30")] == [id]
        assert memory.verify().ok

    def test_it_is_recognized_by_its_new_time(self, memory: Memory) -> None:
        (id,) = memory.add(SAID, user_id="ana").ids
        memory.update(id, created_at=self.LATER)
        assert memory.add(replace(SAID, created_at=self.LATER), user_id="ana").duplicates == (id,)
        # As with an old text: a transcript that still has the old one brings nothing back.
        assert memory.add([SAID, "Thanks!"], user_id="ana").duplicates == (id,)
        assert memory.add(SAID, user_id="ana").duplicates == ()

    def test_with_a_text_and_metadata(self, memory: Memory) -> None:
        (id,) = memory.add(SAID).ids
        (new,) = memory.update(id, text="other", metadata={"b": 2}, created_at=self.LATER).ids
        chunk = memory.get(new)
        assert (chunk.text, dict(chunk.metadata), chunk.created_at) == (
            "other",
            {"b": 2},
            self.LATER,
        )
        assert memory.add(
            Message("other", "assistant", name="Ada", created_at=self.LATER, metadata={"b": 2})
        ).duplicates == (new,)
        assert memory.verify().ok

    def test_what_was_partly_forgotten_keeps_its_gap(self, memory: Memory) -> None:
        ids = memory.add(Document("Some words of it. " * 200)).ids
        memory.forget(ids[1:2])
        receipt = memory.update(ids[0], created_at=self.LATER)
        assert receipt.ids == (ids[0], *ids[2:])
        assert {chunk.created_at for chunk in memory.list()} == {self.LATER}
        assert not memory.get_source(receipt.sources[0]).complete
        assert memory.verify().ok

    def test_a_document_equal_to_another_is_refused(
        self, memory: Memory, unchanged: Unchanged
    ) -> None:
        id, other = memory.add(
            [Document("one", created_at=NOON), Document("one", created_at=self.LATER)]
        ).ids
        with (
            unchanged(memory),
            pytest.raises(InputError, match=f"already has that text, in memory {other}"),
        ):
            memory.update(id, created_at=self.LATER)

    def test_the_same_time_changes_nothing(self, memory: Memory, unchanged: Unchanged) -> None:
        (id,) = memory.add(SAID).ids
        with unchanged(memory):
            memory.update(id, created_at=NOON)
        assert memory.add(SAID).duplicates == (id,)


def test_text_and_metadata_at_once(memory: Memory) -> None:
    (id,) = memory.add(SAID).ids
    (new,) = memory.update(id, text="other", metadata={"b": 2}).ids
    chunk = memory.get(new)
    assert (chunk.text, dict(chunk.metadata)) == ("other", {"b": 2})


def test_the_same_text_may_be_given_again(memory: Memory) -> None:
    (id,) = memory.add(SAID).ids
    (new,) = memory.update(id, text=SAID.content).ids
    assert memory.get(new).text == SAID.content
    assert memory.add(SAID).duplicates == (new,)


@pytest.mark.parametrize("created_at", [None, NOON], ids=["without time", "with time"])
class TestDuplicates:
    """An update leaves the same store as adding the new text would have."""

    def test_the_new_text_is_known_and_the_old_is_not(
        self, memory: Memory, created_at: datetime | None
    ) -> None:
        (id,) = memory.add("old", created_at=created_at, user_id="ana").ids
        (new,) = memory.update(id, text="new").ids
        assert memory.add("new", created_at=created_at, user_id="ana").duplicates == (new,)
        assert memory.add("old", created_at=created_at, user_id="ana").duplicates == ()

    def test_a_text_that_the_scope_has_is_said_twice(
        self, memory: Memory, created_at: datetime | None
    ) -> None:
        (id,) = memory.add("one", created_at=created_at, user_id="ana").ids
        memory.add("two", created_at=created_at, user_id="ana")
        memory.update(id, text="two")
        assert [chunk.text for chunk in memory.list()] == ["two", "two"]

    def test_a_text_that_another_scope_has_is_fine(
        self, memory: Memory, created_at: datetime | None
    ) -> None:
        (id,) = memory.add("one", created_at=created_at, user_id="ana").ids
        memory.add("two", created_at=created_at, user_id="bob")
        (new,) = memory.update(id, text="two").ids
        assert memory.get(new).scope.user_id == "ana"


def test_a_document_that_the_scope_has_is_refused(memory: Memory, unchanged: Unchanged) -> None:
    id, other = memory.add([Document("one"), Document("two")]).ids
    with (
        unchanged(memory),
        pytest.raises(InputError, match=f"already has that text, in memory {other}"),
    ):
        memory.update(id, text="two")


def test_what_was_partly_forgotten_can_be_updated(memory: Memory) -> None:
    ids = memory.add(Document("Some words of it. " * 200)).ids
    memory.forget(ids[1:2])
    (new,) = memory.update(ids[0], text="whole again").ids
    assert [chunk.text for chunk in memory.list()] == ["whole again"]
    assert memory.verify().ok
    assert memory.get(new).span == (0, 11)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({}, InputError, "needs text=, metadata=, created_at=, expires_at= or ttl="),
        ({"text": ""}, InputError, "no text"),
        ({"text": " \n"}, InputError, "only whitespace"),
        ({"text": "\udfff"}, InputError, "lone surrogate"),
        ({"text": "x" * 1001}, InputError, "1,001 characters, the limit is 1,000"),
        ({"text": 5}, TypeError, "text must be a string, not int"),
        ({"text": ["one", "two"]}, TypeError, "text must be a string, not list"),
        ({"text": Document("x")}, TypeError, "text must be a string, not Document"),
        ({"created_at": "soon"}, InputError, "created_at: cannot read the time 'soon'"),
        ({"text": "fine", "created_at": 1e30}, InputError, "outside the years 1 to 9999"),
        ({"metadata": 5}, InputError, "metadata must be a dict"),
        ({"metadata": {1: 2}}, InputError, "the key 1 is not a string"),
        ({"metadata": {"a": {2}}}, InputError, "cannot be written as JSON"),
        ({"metadata": {"a": float("inf")}}, InputError, "cannot be written as JSON"),
        ({"text": "fine", "metadata": {"a": "\ud800"}}, InputError, "cannot be written as JSON"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, dict) else "",
)
def test_what_cannot_be_stored_changes_nothing(
    place: Path,
    model: ModelBundle,
    unchanged: Unchanged,
    change: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with Memory(place, model=model, max_chars=1000) as memory:
        (id,) = memory.add(SAID).ids
        with unchanged(memory), pytest.raises(error, match=message):
            memory.update(id, **change)


@pytest.mark.parametrize("id", [0, -1, 99, 2**70])
def test_an_unknown_id_is_refused(memory: Memory, unchanged: Unchanged, id: int) -> None:
    memory.add(SAID)
    with unchanged(memory):
        for verb in (
            lambda: memory.update(id, text="new"),
            lambda: memory.update(id, metadata={}),
            lambda: memory.get(id),
        ):
            with pytest.raises((UnknownIdError, InputError), match=str(id)):
                verb()
