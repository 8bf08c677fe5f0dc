"""Metadata nested so deep that later calls, of other users too, could not read them back; and
`--meta version=1.10` became 1.1."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.errors import CorruptRecordError, InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem_cli.options import read_metadata as read_pairs
from agentmem_storage.metadata import MAX_DEPTH, metadata_json, read_metadata
from agentmem_storage.records import Scope
from agentmem_storage.testing import make_source
from tests.support.cli import Cli

Unchanged = Callable[[Memory], AbstractContextManager[None]]


def nested(depth: int, *, lists: bool = False) -> dict[str, Any]:
    """Metadata of exactly that depth."""
    value: Any = 1
    for _ in range(depth - 1):
        value = [value] if lists else {"a": value}
    return {"a": value}


@pytest.mark.parametrize("lists", [False, True], ids=["dicts", "lists"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 300, 900, 5_000, 100_000])
def test_metadata_that_are_too_deep_are_refused(
    memory: Memory, depth: int, lists: bool, unchanged: Unchanged
) -> None:
    deep = nested(depth, lists=lists)
    (id,) = memory.add("I like tea", metadata={"n": 1}).ids
    calls: list[Callable[[], object]] = [
        lambda: memory.add("x", metadata=deep),
        lambda: memory.add(Message("x", metadata=deep)),
        lambda: memory.add(["y", {"role": "user", "content": "x", "metadata": deep}]),
        lambda: memory.add(Document("x", metadata=deep)),
        lambda: memory.update(id, metadata=deep),
        lambda: memory.update(id, text="x", metadata=deep),
        lambda: memory.scoped(user_id="ana").add("x", metadata=deep),
        lambda: memory._store.add([make_source("x", metadata=deep)], Scope()),
        lambda: memory._store.update_source(1, metadata=deep),
    ]
    with unchanged(memory):
        for call in calls:
            with pytest.raises(InputError, match=f"nested more than {MAX_DEPTH} deep"):
                call()


@pytest.mark.parametrize("lists", [False, True], ids=["dicts", "lists"])
def test_the_deepest_metadata_are_read_by_every_verb(memory: Memory, lists: bool) -> None:
    deep = nested(MAX_DEPTH, lists=lists)
    (id,) = memory.add("I like tea", metadata=deep).ids
    assert memory.get(id).metadata == deep
    assert memory.recall("tea", where={"a": {"exists": True}})[0].metadata == deep
    assert [json.loads(json.dumps(chunk.to_dict()))["id"] for chunk in memory.list()] == [id]
    assert memory.verify().ok
    (id,) = memory.update(id, text="I like coffee").ids
    assert memory.get(id).metadata == deep
    assert memory.forget(where={"a": {"exists": True}}).ids == (id,)


def test_a_cycle_is_refused(memory: Memory) -> None:
    cycle: dict[str, Any] = {}
    cycle["a"] = [cycle, cycle]
    with pytest.raises(InputError, match="metadata cannot be written as JSON"):
        memory.add("x", metadata=cycle)
    assert memory.stats().memories == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), JSON, max_size=3))
def test_what_is_stored_is_read_back(metadata: dict[str, Any]) -> None:
    assert read_metadata(metadata_json(metadata)) == metadata


@pytest.fixture
def old(place: Path, memory: Memory) -> Memory:
    """A store whose first memory has metadata that nobody can read, written before the limit."""
    memory.add(["I like tea"], user_id="ana", metadata={"n": 1})
    memory.add(["I like coffee"], user_id="ben", metadata={"n": 1})
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET metadata = ? WHERE id = 1", (deep,))
        # As when they are written: what cannot be read has no values for filters.
        connection.execute("DELETE FROM metadata_values WHERE source_id = 1")
    return memory


def test_memories_beside_unreadable_metadata_are_read(old: Memory) -> None:
    assert [chunk.text for chunk in old.list()] == ["I like tea", "I like coffee"]
    assert len(old.recall("like", k=9)) == 2
    assert [hit.id for hit in old.recall("like", where={"n": 1})] == [2]
    assert [chunk.id for chunk in old.list(where={"a": {"exists": False}})] == [1, 2]
    assert old.get(2, user_id="ben").metadata == {"n": 1}


def test_unreadable_metadata_are_reported_and_can_be_forgotten(old: Memory) -> None:
    assert [(item.id, item.what) for item in old.verify().damage] == [
        (1, "the metadata of source 1 cannot be read")
    ]
    with pytest.raises(CorruptRecordError, match="metadata of source 1 cannot be read"):
        old._store.sources([1])
    assert old.forget(user_id="ana").ids == (1,)
    assert old.verify().ok


def test_async_refuses_them_too(place: Path, model: ModelBundle) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(place, model=model) as memory:
            with pytest.raises(InputError, match="nested more than"):
                await memory.add("x", metadata=nested(900))
            await memory.add("x", metadata=nested(3))
            with pytest.raises(InputError, match="nested more than"):
                await memory.update(1, metadata=nested(900, lists=True))
            assert (await memory.get(1)).metadata == nested(3)

    asyncio.run(run())


def test_the_command_line_refuses_them_too(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "I like tea", "--meta", "n=1")
    for depth in (MAX_DEPTH + 1, 900):
        deep = "[" * depth + "]" * depth
        assert "nested more than" in cli.error(3, "add", "x", "--meta", f"a={deep}")
        assert "nested more than" in cli.error(3, "update", 1, "--meta", f"a={deep}")
        file = tmp_path / "chat.jsonl"
        line = {"role": "user", "content": "x", "metadata": nested(depth)}
        file.write_text(json.dumps(line), encoding="utf-8")
        assert "nested more than" in cli.error(3, "add", "--file", file)
    deep = "[" * 50_000 + "]" * 50_000
    assert "nested too deep" in cli.error(2, "add", "x", "--meta", f"a={deep}")
    assert "cannot be read" in cli.error(2, "list", "--where", deep)
    assert [json.loads(line)["metadata"] for line in cli.ok("list", "--json").splitlines()] == [
        {"n": 1}
    ]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1.10", "1.10"),
        ("1.1", 1.1),
        ("1.0", 1.0),
        ("2001", 2001),
        ("-3", -3),
        ("-0", "-0"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("1E400", "1E400"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("12345678901234567890123", 12345678901234567890123),
        ("9" * 5000, "9" * 5000),
        (" 5", " 5"),
        ("true", True),
        ("null", None),
        ("True", "True"),
        ("NaN", "NaN"),
        ("", ""),
        ("Lyon", "Lyon"),
        ('"1.10"', "1.10"),
        ("[1, 2]", [1, 2]),
        ("[1,2]", [1, 2]),
        ("[1.10]", "[1.10]"),
        ('{"v": 1.5}', {"v": 1.5}),
        ('{"v": {"w": 1.50}}', '{"v": {"w": 1.50}}'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_meta_is_converted_only_if_nothing_is_lost(given: str, stored: Any) -> None:
    found = read_pairs([f"key={given}"])
    assert found == {"key": stored}
    assert type(found["key"]) is type(stored)


@given(st.from_regex(r"[-+]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][-+]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_in_meta_is_printed_as_it_was_given(number: str) -> None:
    (value,) = (read_pairs([f"key={number}"]) or {}).values()
    assert (value if isinstance(value, str) else json.dumps(value)) == number


def test_meta_survives_storing(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "Release notes", "--meta", "version=1.10", "--meta", "year=2026")
    assert cli.json("show", 1)["metadata"] == {"version": "1.10", "year": 2026}
    assert cli.ok("list", "--where", '{"version": "1.10"}', "-q") == "1\n"
    cli.ok("update", 1, "--meta", "version=2.0", "--meta", "build=0042")
    assert cli.json("show", 1)["metadata"] == {"version": 2.0, "build": "0042"}
