"""Who has memories, how many there are, and messages as wholes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import CorruptRecordError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli

LONG = " ".join(f"word{n}" for n in range(900))


def fill(memory: Memory) -> None:
    memory.add(LONG, user_id="ana", session_id="1")
    memory.add("Hello.", user_id="bo", agent_id="x")
    memory.add(["One.", "Two."], user_id="ana", session_id="2")
    memory.add("Nobody's.")


def test_scopes_and_their_last_use(memory: Memory) -> None:
    assert memory.scopes() == ()
    before = datetime.now(UTC)
    fill(memory)
    uses = memory.scopes()
    assert [(use.user_id, use.agent_id, use.session_id, use.sources) for use in uses] == [
        (None, None, None, 1),
        ("ana", None, "2", 2),
        ("bo", "x", None, 1),
        ("ana", None, "1", 1),
    ]
    assert [use.memories for use in uses[:3]] == [1, 2, 1]
    assert uses[3].memories == memory.count(session_id="1") > 1
    times = [use.last_added for use in uses if use.last_added is not None]
    assert before <= times[3] <= times[2] <= times[1] <= times[0]
    assert len(times) == 4
    assert [use.session_id for use in memory.scopes(user_id="ana")] == ["2", "1"]
    assert memory.scoped(user_id="bo").scopes() == (uses[2],)
    assert memory.scopes(user_id="eve") == ()
    memory.forget(user_id="ana")
    assert [use.user_id for use in memory.scopes()] == [None, "bo"]
    memory.add("Hello again.", user_id="bo", agent_id="x")
    assert memory.scopes()[0].user_id == "bo"


def test_a_damaged_time_hides_no_scope(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add("Hello.", user_id="ana")
        memory.add("Hello.", user_id="bo")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET added_at = 'x' WHERE id = 2")
    with Memory(place, model=model) as memory:
        assert [use.user_id for use in memory.scopes()] == ["ana", "bo"]
        assert memory.scopes()[1].last_added is None


def test_count_is_the_length_of_the_list(memory: Memory) -> None:
    fill(memory)
    memory.add("Old.", user_id="ana", created_at="2001-01-01", metadata={"a": 1})
    now = datetime.now(UTC) - timedelta(days=1)
    assert memory.count() == len(list(memory.list()))
    assert memory.count(user_id="ana") == len(list(memory.list(user_id="ana")))
    assert memory.count(user_id="ana", until=now) == 1
    assert memory.count(user_id="ana", since=now) == memory.count(user_id="ana") - 1
    assert memory.count(where={"a": 1}) == 1
    assert memory.count(source_id=1) == len(list(memory.list(source_id=1)))
    assert memory.scoped(user_id="eve").count() == 0


def test_a_source_as_a_whole(memory: Memory) -> None:
    fill(memory)
    (id,) = memory.add(Document(LONG + "\r\n", title="T", metadata={"a": 1}), user_id="ana").sources
    source = memory.get_source(id)
    assert source.text == LONG + "\r\n"
    assert source.complete
    assert len(source.chunks) > 1
    assert (source.kind, source.speaker, source.role) == ("document", "T", None)
    assert source.metadata == {"a": 1}
    assert source.scope.user_id == "ana"
    assert source.created_at == source.chunks[0].created_at
    shown = json.loads(json.dumps(source.to_dict()))
    assert shown["chunk_ids"] == [chunk.id for chunk in source.chunks]
    assert shown["text"] == source.text
    new = memory.update(source.chunks[1].id, text=f"New. {LONG}")
    assert memory.get_source(*new.sources).text == f"New. {LONG}"
    memory.forget([new.ids[0]])
    left = memory.get_source(id)
    assert not left.complete
    assert left.text == f"New. {LONG}"[left.chunks[0].span[0] :]


def test_a_source_of_another_scope_is_unknown(memory: Memory) -> None:
    fill(memory)
    with pytest.raises(UnknownIdError, match="source id 1"):
        memory.scoped(user_id="bo").get_source(1)
    with pytest.raises(UnknownIdError, match="99"):
        memory.get_source(99)
    with pytest.raises(UnknownIdError, match="external id '1'"):
        memory.get_source("1")


def test_a_damaged_source_raises(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(LONG)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id = 2")
    with Memory(place, model=model) as memory, pytest.raises(CorruptRecordError):
        memory.get_source(1)


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            (id,) = (await memory.add(LONG, user_id="ana")).sources
            source = await memory.get_source(id)
            assert await memory.count() == len(source.chunks)
            assert [use.user_id for use in await memory.scopes()] == ["ana"]
        assert source.text == LONG
        assert all(chunk.latents.size for chunk in source.chunks)  # decoded, though it is closed

    asyncio.run(main())


def test_the_command_users(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "One.", "Two.", "--user", "ana", "--session", "monday")
    cli.ok("add", "Three.", "--user", "ana", "--session", "friday")
    cli.ok("add", "Four.", "--user", "bo")
    everyone = cli.ok("users")
    rows = [line.replace("│", " ").split()[:3] for line in everyone.splitlines()]
    assert ["ana", "2", "3"] in rows
    assert ["bo", "0", "1"] in rows
    assert everyone.index("bo") < everyone.index("ana")  # the last used first
    sessions = cli.ok("users", "--user", "ana")
    assert "monday" in sessions
    assert "bo" not in sessions
    assert cli.ok("users", "--quiet").split() == ["bo", "ana"]
    assert cli.ok("users", "--user", "ana", "--quiet").split() == ["friday", "monday"]
    found = json.loads(cli.ok("users", "--json"))
    assert [one["memories"] for one in found] == [1, 1, 2]
