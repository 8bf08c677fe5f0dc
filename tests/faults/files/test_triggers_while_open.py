"""A trigger that somebody added to an open store was noticed when it was opened next."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import NotAStoreError
from agentmem.models.bundle.load import ModelBundle

SPY = (
    "CREATE TRIGGER spy AFTER INSERT ON sources BEGIN INSERT INTO copies VALUES (new.metadata); END"
)
VIEW = "CREATE VIEW mine AS SELECT * FROM sources"


def alter(place: Path, *statements: str, name: str = "memory.db") -> None:
    with closing(sqlite3.connect(place / name)) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()


@pytest.mark.parametrize(("statement", "name"), [(SPY, "trigger 'spy'"), (VIEW, "view 'mine'")])
def test_nothing_more_is_written(memory: Memory, place: Path, statement: str, name: str) -> None:
    (kept,) = memory.add("before", metadata={"n": 1}).ids
    alter(place, "CREATE TABLE copies (of)", statement)
    for write in (
        lambda: memory.add("secret", metadata={"n": 2}),
        lambda: memory.update(kept, metadata={"n": 3}),
        lambda: memory.forget([kept]),
    ):
        with pytest.raises(NotAStoreError, match=f"has a {name}, which agentmem has not made"):
            write()
    with closing(sqlite3.connect(place / "memory.db")) as other:
        assert other.execute("SELECT count(*) FROM copies").fetchone() == (0,)
    assert [chunk.metadata for chunk in memory.list()] == [{"n": 1}]
    alter(place, f"DROP {name.replace(chr(39), '')}")
    memory.add("after")
    assert [chunk.text for chunk in memory.list()] == ["before", "after"]


def test_nor_by_who_opened_it_before_anything_was_in_it(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            alter(place, "CREATE TABLE copies (of)", SPY)
            with pytest.raises(NotAStoreError):
                await memory.add("secret")
            alter(place, "DROP TRIGGER spy")
            await memory.add("after")

    asyncio.run(main())


def test_nor_in_an_encrypted_store(tmp_path: Path, model: ModelBundle) -> None:
    spy = "CREATE TRIGGER spy AFTER INSERT ON rows BEGIN SELECT 1; END"
    with Memory(tmp_path / "store", model=model, key=bytes(32)) as memory:
        memory.add("before")
        alter(tmp_path / "store", spy, name="encrypted.db")
        with pytest.raises(NotAStoreError, match="is not as agentmem makes it"):
            memory.add("secret")
        alter(tmp_path / "store", "DROP TRIGGER spy", name="encrypted.db")
        memory.add("after")
        assert [chunk.text for chunk in memory.list()] == ["before", "after"]
