"""Whatever is altered in a store, `verify` notices it, and never raises anything unclean.

One value of one row is altered: a bit of it, or all of it, of another type or that of another row.
Of what SQLite, FTS5 or agentmem do not read, an alteration may stay unnoticed if nothing that can
be read has changed.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory
from agentmem.errors import AgentMemError
from agentmem.models.bundle.load import ModelBundle

OTHERS = (None, 0, -1, 1, 1.5, "abc", "", b"xy", b"", 2**40)
# What is not compared as it stands: the words are, and so are the flags, which opening acts on.
INTERNAL = ("chunk_terms_data", "chunk_terms_idx")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Path:
    """Every table has rows."""
    place = tmp_path_factory.mktemp("altered") / "store"
    metadata = {"n": 1, "f": 1.5, "s": "x", "b": True, "l": [1]}
    with Memory(place, model=model, audit=True) as memory:
        said = [{"role": "user", "name": "Bo", "content": f"note {n}"} for n in range(4)]
        memory.add(said, user_id="bo", session_id="s", metadata=metadata)
        memory.add(["one thing", "another thing"], user_id="ana", created_at="2024-05-03")
        memory.add(Document("The quick fox. " * 90, title="A fox", uri="file:fox"), agent_id="x")
        memory.forget(memory.add("forgotten", user_id="ana").ids)
        memory.update(memory.add("old words", user_id="ana").ids[0], text="new words")
        memory.add("damaged", user_id="ana")
        first, second = (chunk.source.id for chunk in list(memory.list(user_id="bo"))[:2])
        memory.supersede(first, second)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute(
            "UPDATE chunks SET latents = x'00' WHERE id = (SELECT max(id) FROM chunks)"
        )
    with Memory(place, model=model, keep_text=True) as memory:
        assert memory.repair().ok
        memory.add("kept text", user_id="ana")
        assert memory.verify().ok
    return place


def connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.text_factory = lambda encoded: encoded.decode(errors="surrogateescape")
    return connection


def tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'chunk_terms'"
    return [name for (name,) in connection.execute(query)]


def alter(file: Path, draw: random.Random) -> str | None:
    """Alter one value; what was done, None if SQLite did not let it or nothing is different."""
    with closing(connect(file)) as connection:
        table = draw.choice(tables(connection))
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [f'"{column[1]}"' for column in columns if column[5]] or ["rowid"]
        column = draw.choice([f'"{one[1]}"' for one in columns])
        found = connection.execute(f"SELECT {', '.join(keys)}, {column} FROM {table}").fetchall()
        if not found:
            return None
        *key, old = draw.choice(found)
        held = [row[-1] for row in found]
        new = flipped(old, draw) if draw.random() < 0.5 else draw.choice([*OTHERS, *held])
        where = " AND ".join(f"{name} IS ?" for name in keys)
        value = "CAST(? AS TEXT)" if isinstance(old, str) and isinstance(new, bytes) else "?"
        try:
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}", (new, *key))
        except sqlite3.Error:
            return None
        now = connection.execute(f"SELECT {column} FROM {table} WHERE {where}", key).fetchone()
        connection.commit()
    if now is not None and (type(now[0]), now[0]) == (type(old), old):
        return None
    return f"{table}.{column} of {key}: {old!r:.60} became {new!r:.60}"


def flipped(value: Any, draw: random.Random) -> Any:
    """A value with one bit flipped; of text, its bytes."""
    if isinstance(value, int):
        return value ^ 1 << draw.randrange(63)
    if isinstance(value, float):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        return struct.unpack("<d", struct.pack("<q", bits ^ 1 << draw.randrange(63)))[0]
    encoded = bytearray(value.encode() if isinstance(value, str) else value or b"\0")
    at = draw.randrange(8 * len(encoded))
    encoded[at // 8] ^= 1 << at % 8
    return bytes(encoded)


def contents(place: Path) -> Any:
    """All that can be read."""
    with closing(connect(place / "memory.db")) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, chunk_terms, instance)"
        )
        words = connection.execute("SELECT * FROM temp.instances").fetchall()
        rows = {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in tables(connection)
            if table not in INTERNAL
        }
    # The number of a link is in no order and in no result.
    rows["links"] = [row[1:] for row in rows["links"]]
    return words, rows


@pytest.mark.parametrize("count", [20, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_alteration_is_noticed(
    store: Path, model: ModelBundle, tmp_path: Path, count: int
) -> None:
    draw = random.Random(count)
    intact = contents(store)
    copy, done = tmp_path / "copy", 0
    while done < count:
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copy(store / "memory.db", copy)
        what = alter(copy / "memory.db", draw)
        if what is None:
            continue
        done += 1
        try:
            with Memory(copy, model=model, create=False) as memory:
                noticed = not memory.verify().ok
        except AgentMemError:
            noticed = True
        assert noticed or contents(copy) == intact, what


@pytest.mark.parametrize("count", [15, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_bit_of_the_file(store: Path, model: ModelBundle, tmp_path: Path, count: int) -> None:
    """Also in the schema, in indexes, and in the space between rows, which nobody reads."""
    draw = random.Random(count)
    intact = contents(store)
    whole = (store / "memory.db").read_bytes()
    copy = tmp_path / "copy"
    for _ in range(count):
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        data = bytearray(whole)
        data[at] ^= 1 << bit
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / "memory.db").write_bytes(data)
        try:
            with Memory(copy, model=model, create=False) as memory:
                noticed = not memory.verify().ok
        except AgentMemError:
            noticed = True
        assert noticed or contents(copy) == intact, f"bit {bit} of byte {at}"


@pytest.mark.parametrize("block", [b"xy", b"", b"\0\0\0\0\1", b"\0\0\0\0\1\1\0\0\1\xff"])
def test_a_cut_structure_of_the_lexical_index(
    store: Path, model: ModelBundle, tmp_path: Path, block: bytes
) -> None:
    """`verify` raised a RuntimeError."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(store / "memory.db", copy)
    with closing(connect(copy / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunk_terms_data SET block = ? WHERE id = 10", (block,))
    with Memory(copy, model=model, create=False) as memory:
        assert not memory.verify().ok
