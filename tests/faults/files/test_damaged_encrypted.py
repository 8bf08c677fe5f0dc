"""Whatever is altered in the files of an encrypted store, `verify` or the opening notices it.

Only errors of agentmem come of it, without a word of what was said.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import AgentMemError, CorruptRecordError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from tests.faults.files.test_alterations import alter
from tests.faults.files.test_damaged_files import SECRET, VERBS, checked
from tests.support.encrypted import KEY, tables

FILES = ("encrypted.db", "keys.db")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Path:
    """A store whose tables, of rows and of the file itself, have something each."""
    place = tmp_path_factory.mktemp("encrypted") / "sound"
    with Memory(place, model=model, key=KEY, audit=True) as memory:
        said = [{"role": "user", "name": "Bo", "content": f"{SECRET} {n} of Ana"} for n in range(6)]
        memory.add(said, user_id="ana", session_id="s", metadata={"n": 500})
        memory.add(Document(f"A long {SECRET}. " * 60, title=SECRET, uri="u:1"), agent_id="x")
        memory.forget(memory.add("forgotten", user_id="ana").ids)
        memory.update(memory.add("old words", user_id="ana").ids[0], text="new words")
        memory.add("shredded", user_id="ben")
        memory.forget(user_id="ben")
        memory.supersede(1, 2)
        (id,) = memory.add("taken out of use", user_id="ana").ids
        with memory._store._database.write() as connection:
            connection.exec_driver_sql("UPDATE chunks SET latents = x'00' WHERE id = ?", (id,))
        assert memory.repair().ok
        assert memory.verify().ok
    return place


def copied(sound: Path, copy: Path) -> Path:
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(sound, copy))


def contents(place: Path, model: ModelBundle) -> dict[str, Any]:
    with Memory(place, model=model, key=KEY, create=False) as memory:
        return tables(memory._store)


def notices(place: Path, model: ModelBundle) -> bool:
    try:
        with Memory(place, model=model, key=KEY, create=False) as memory:
            return not memory.verify().ok
    except AgentMemError as error:
        checked(error)
        return True


@pytest.mark.parametrize("count", [25, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_alteration_is_noticed(
    sound: Path, model: ModelBundle, tmp_path: Path, count: int
) -> None:
    draw = random.Random(count)
    intact, done = contents(sound, model), 0
    while done < count:
        copy = copied(sound, tmp_path / "copy")
        # Mostly that of the rows, which has more in it.
        what = alter(copy / draw.choices(FILES, (4, 1))[0], draw)
        if what is not None:
            done += 1
            assert notices(copy, model) or contents(copy, model) == intact, what


@pytest.mark.parametrize("count", [6, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_a_bit_of_a_file(
    sound: Path, model: ModelBundle, tmp_path: Path, name: str, count: int
) -> None:
    draw = random.Random(name)
    intact = contents(sound, model)
    whole = (sound / name).read_bytes()
    for _ in range(count):
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        data = bytearray(whole)
        data[at] ^= 1 << bit
        copy = copied(sound, tmp_path / "copy")
        (copy / name).write_bytes(data)
        assert notices(copy, model) or contents(copy, model) == intact, f"bit {bit} of byte {at}"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["bits", "block", "end"])
def test_no_verb_raises_anything_unclean(
    sound: Path, model: ModelBundle, tmp_path: Path, name: str, how: str
) -> None:
    draw = random.Random(f"{name} {how}")
    for _ in range(2):
        copy = copied(sound, tmp_path / "copy")
        data = bytearray((copy / name).read_bytes())
        if how == "bits":
            for _ in range(20):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif how == "block":
            at = draw.randrange(len(data) - 512)
            data[at : at + 512] = draw.randbytes(512)
        else:
            del data[draw.randrange(100, len(data)) :]
        (copy / name).write_bytes(data)
        try:
            memory = Memory(copy, model=model, key=KEY, create=False)
        except AgentMemError as error:
            checked(error)
            continue
        with memory:
            memory.verify()
            for verb in VERBS.values():
                try:
                    verb(memory)
                except AgentMemError as error:
                    checked(error)


def damage(place: Path, kind: str, id: int) -> None:
    with closing(sqlite3.connect(place / "encrypted.db")) as file, file:
        statement = "UPDATE rows SET content = zeroblob(99) WHERE kind = ? AND id = ?"
        file.execute(statement, (kind, id))


@pytest.mark.parametrize("kind", ["chunks", "sources", "scopes"])
def test_a_damaged_row_does_not_hide_the_others(
    sound: Path, model: ModelBundle, tmp_path: Path, kind: str
) -> None:
    copy = copied(sound, tmp_path / "copy")
    damage(copy, kind, 2)
    with Memory(copy, model=model, key=KEY) as memory:
        found = memory.verify().damage
        assert f"row 2 of '{kind}' is not what was encrypted there" in str(found)
        texts = [hit.text for hit in memory.recall("Ana", k=20, user_id="ana")]
        assert len(texts) >= 5
        assert {one.text for one in memory.list(user_id="ana")} >= set(texts)


@pytest.mark.parametrize("kind", ["chunks", "sources", "scopes"])
def test_reading_a_damaged_row_by_its_id_names_the_damage(
    sound: Path, model: ModelBundle, tmp_path: Path, kind: str
) -> None:
    """It said that there is no memory with that id."""
    copy = copied(sound, tmp_path / "copy")
    with Memory(copy, model=model, key=KEY) as memory:
        kept = memory.get(2).text
        scope_id = 2
        id = 2 if kind != "scopes" else next(memory.list(agent_id="x")).id
        source_id = memory.get(id).source.id
    damage(copy, kind, {"chunks": id, "sources": source_id, "scopes": scope_id}[kind])
    with Memory(copy, model=model, key=KEY) as memory:
        for read in (memory.get, memory.history):
            with pytest.raises(CorruptRecordError, match=f"memory {id} cannot be read") as error:
                read(id)
            assert error.value.id == id
        with pytest.raises(CorruptRecordError, match=f"memory {id} cannot be read"):
            memory.update(id, text="new")
        if kind != "chunks":
            with pytest.raises(CorruptRecordError, match=f"message or document {source_id}"):
                memory.get_source(source_id)
        for unknown in (0, 999):
            with pytest.raises(UnknownIdError):
                memory.get(unknown)
            with pytest.raises(UnknownIdError):
                memory.get_source(unknown)
        if kind == "scopes":
            assert memory.get(2).text == kept
        assert memory.get(3).text
        memory.repair()
        with pytest.raises(UnknownIdError):
            memory.get(id)


def test_asynchronously_too(sound: Path, model: ModelBundle, tmp_path: Path) -> None:
    copy = copied(sound, tmp_path / "copy")
    damage(copy, "chunks", 2)

    async def read() -> None:
        async with AsyncMemory(copy, model=model, key=KEY) as memory:
            await memory.get(2)

    with pytest.raises(CorruptRecordError, match="memory 2 cannot be read"):
        asyncio.run(read())
