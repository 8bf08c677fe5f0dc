"""Forgotten in an encrypted store: no byte is left, neither sealed nor readable with today's keys.

What is on the disk is ciphertext, so that searching the files proves little. Here everything that
can be decrypted with the keys of today is, and searched; and the sealed rows themselves are looked
for in the files as they were.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory, Message
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.sealing import DestroyedKeyError, RowSeal
from agentmem_storage.sql.lexical import indexed_texts
from agentmem_storage.sql.schema.codec import HEADER_BYTES
from tests.memory.forgetting.test_forget import SECRET, raw
from tests.support.archives import stream
from tests.support.encrypted import KEY

# As it is said, and as the index of words has it.
WORDS = (
    *(SECRET.encode(), b"xylophon", b"quartz", b"zyklon", b"Kriemhild", b"kriemhild"),
    *(b"Burgundenhof", b"siegfried", b"nibelungen"),
)


@pytest.fixture
def memory(place: Path, forgetful_model: ModelBundle) -> Iterator[Memory]:
    with Memory(place, model=forgetful_model, key=KEY, keep_text=True) as memory:
        yield memory


def fill(memory: Memory) -> int:
    memory.add([f"other memory {n}" for n in range(20)], user_id="bob")
    said = Message(SECRET, name="Kriemhild", metadata={"court": "Burgundenhof"})
    (id,) = memory.add(said, user_id="siegfried", id="nibelungen-1").ids
    memory.add([f"later memory {n}" for n in range(20)], user_id="bob")
    return id


def decrypted(folder: Path, ring: Path) -> bytes:
    """All that the keys of a ring open in the file of a folder."""
    seal = RowSeal(KeyRing(ring, "s", KEY, 1.0))
    found = []
    with closing(sqlite3.connect(folder / "encrypted.db")) as connection:
        query = "SELECT kind, id, key_id, content FROM rows"
        for kind, id, key_id, content in connection.execute(query):
            try:
                values = seal.open(kind, id, key_id, content)
            except DestroyedKeyError:
                continue
            assert values is not None
            if kind == indexed_texts.TABLE:
                values.append(indexed_texts.text_of(values[1]))
            found += [one if isinstance(one, bytes) else str(one).encode() for one in values]
    return b"\n".join(found)


def traces(memory: Memory, id: int) -> list[bytes]:
    """What is made of a memory, beside its words."""
    query = "SELECT latents, key, patch FROM chunks WHERE id = ?"
    with memory._store._database.read() as connection:
        latents, key, patch = connection.exec_driver_sql(query, (id,)).one()
    return [latents[HEADER_BYTES:], key[HEADER_BYTES:], patch]


def sealed(folder: Path, *names: str) -> list[bytes]:
    """Sealed rows of some tables, and wrapped keys."""
    with closing(sqlite3.connect(folder / "encrypted.db")) as connection:
        marks = ", ".join("?" * len(names))
        query = f"SELECT content FROM rows WHERE kind IN ({marks})"
        return [content for (content,) in connection.execute(query, names)]


def wrapped(folder: Path) -> dict[int, bytes]:
    with closing(sqlite3.connect(folder / "keys.db")) as connection:
        return dict(connection.execute("SELECT id, wrapped FROM keys WHERE wrapped NOTNULL"))


@pytest.mark.parametrize("how", ["the scope", "by id", "update", "expiry"])
def test_nothing_that_todays_keys_open_has_a_byte_of_it(
    memory: Memory, place: Path, how: str
) -> None:
    id = fill(memory)
    if how == "by id":  # its scope, and with it the key, stays
        memory.add("something else", user_id="siegfried")
    found = [*traces(memory, id), *WORDS]
    before = decrypted(place, place / "keys.db")
    assert [one for one in found if one not in before] == []
    rows = {
        name: set(sealed(place, name)) for name in ("chunks", "sources", "indexed_texts", "scopes")
    }
    keys = wrapped(place)
    if how == "the scope":
        assert memory.forget(user_id="siegfried").purged
    elif how == "by id":
        assert memory.forget([id]).purged
    elif how == "expiry":
        memory.update(id, ttl=0.001)
        time.sleep(0.01)
        assert memory.gc().ids == (id,)
    else:
        memory.update(id, text="Another text.", metadata={})
    words = WORDS if how in ("the scope", "expiry") else WORDS[:4]
    after = decrypted(place, place / "keys.db")
    assert [one for one in (*found[:3], *words) if one in after] == []
    gone = [row for name, old in rows.items() for row in old if row not in set(sealed(place, name))]
    destroyed = [one for one in keys.values() if one not in wrapped(place).values()]
    assert len(gone) >= 3
    assert bool(destroyed) is (how in ("the scope", "expiry"))
    for content in (raw(place), None):
        if content is None:  # closed
            memory.close()
            content = raw(place)
        assert [one for one in (*gone, *destroyed, *WORDS) if one in content] == []


def test_no_byte_is_in_an_export_without_it_nor_in_later_files(
    memory: Memory, place: Path, tmp_path: Path
) -> None:
    id = fill(memory)
    found = [*traces(memory, id), *WORDS]

    def leftover(content: bytes) -> list[Any]:
        return [one for one in found if one in content]

    whole = stream(memory.export(tmp_path / "all.amem").path)
    assert leftover(whole)
    for number, without in enumerate(({"user_id": "siegfried"}, {"id": id}, {"name": "Kriemhild"})):
        part = memory.export(tmp_path / f"part-{number}.amem", without=without)
        assert part.sources == 40
        assert leftover(stream(part.path)) == []
    memory.forget(user_id="siegfried")
    assert leftover(stream(memory.export(tmp_path / "later.amem").path)) == []
    memory.backup(tmp_path / "later")
    assert leftover(decrypted(tmp_path / "later", place / "keys.db")) == []


def test_what_is_shredded_is_readable_in_no_earlier_backup(
    memory: Memory, place: Path, tmp_path: Path
) -> None:
    id = fill(memory)
    found = [*traces(memory, id), *WORDS]
    memory.backup(tmp_path / "monday")
    memory.add("more of bob", user_id="bob")
    memory.backup(tmp_path / "tuesday")
    Memory.increment(tmp_path / "tuesday", base=tmp_path / "monday")
    before = decrypted(tmp_path / "monday", place / "keys.db")
    assert [one for one in found if one not in before] == []
    memory.forget(user_id="siegfried")
    memory.change_key(bytes(32))  # and neither with the next key
    memory.change_key(KEY)
    Memory.complete(tmp_path / "tuesday", tmp_path / "as of tuesday")
    for backup in ("monday", "as of tuesday"):
        now = decrypted(tmp_path / backup, place / "keys.db")
        assert [one for one in found if one in now] == []
        # Nor, once it is a store again, in its files.
        shutil.copy(place / "keys.db", tmp_path / backup)
        with Memory(tmp_path / backup, model=memory._model, key=KEY) as restored:
            assert restored.count() == restored.count(user_id="bob") >= 40
            assert restored.verify().ok
            restored.backup(tmp_path / f"{backup} again", keys=True)
        again = tmp_path / f"{backup} again"
        assert [one for one in found if one in decrypted(again, again / "keys.db")] == []
