"""`Memory` on an encrypted store: every verb works, and no file has a word of it."""

from __future__ import annotations

import asyncio
import pickle
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import ANY, AsyncMemory, Document, Memory
from agentmem.errors import KeyRequiredError, StoreError, UnknownIdError, WrongKeyError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_bundle

# None of them is shorter than six letters, to be in a file by chance.
TRACES = (
    "Zanzibar",
    "zanzibar",
    "Usambara",
    "Wilhelmina",
    "dining-car",
    "passenger-ana",
    "Mombasa",
)
TALK = [
    {"role": "user", "name": "Wilhelmina", "content": "The train to Zanzibar leaves at 9:40."},
    {"role": "assistant", "content": "Noted. The dining-car opens at ten."},
]
CALLS: list[tuple[Any, Any]] = [
    (ANY, None),
    ("passenger-ana", "neighbors"),
    (ANY, "episode"),
]
BOOK = Document(
    "The Usambara line runs through the hills. " * 30, title="Usambara", uri="file:u.md"
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(secrets.token_bytes(32))
    return path


def fill(memory: Memory) -> Any:
    memory.add(BOOK, user_id="passenger-ana", metadata={"part": "dining-car"})
    return memory.add(TALK, user_id="passenger-ana", session_id="s", metadata={"part": "talk"})


def in_files(folder: Path) -> set[str]:
    content = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return {one for one in TRACES if one.encode() in content}


def texts(memory: Memory, **scope: Any) -> list[str]:
    return [one.text for one in memory.list(**scope)]


@pytest.mark.parametrize("keep_text", [False, True])
def test_every_verb_works_and_no_file_has_a_word(
    tmp_path: Path, model: ModelBundle, key_file: Path, keep_text: bool
) -> None:
    place = tmp_path / "store"
    options: dict[str, Any] = {"model": model, "key": key_file, "keep_text": keep_text}
    with Memory(place, **options) as memory, Memory(place, **options) as beside:
        told = fill(memory)
        for mode in ("hybrid", "vector", "lexical"):
            found = beside.recall(TALK[0]["content"], user_id="passenger-ana", mode=mode, k=1)
            assert found[0].text == TALK[0]["content"]
        where = {"part": "talk"}
        assert len(beside.recall("Usambara", user_id="passenger-ana", where=where)) == 2
        assert not beside.recall("Zanzibar", user_id="passenger-ben")
        assert in_files(tmp_path) == set()
        changed = memory.update(told.ids[0], text="The train to Mombasa leaves at ten.")
        assert beside.recall("Mombasa", user_id="passenger-ana", k=1)[0].id == changed.ids[0]
        with pytest.raises(UnknownIdError):
            beside.get(told.ids[0])
        memory.add("Zanzibar for a second", user_id="passenger-ana", ttl=0.001)
        memory.gc()
        memory.reindex()
        assert memory.verify().ok
        assert beside.verify().ok
        assert beside.stats().memories == memory.stats().memories
        before = texts(memory)
        assert in_files(tmp_path) == set()
    assert in_files(tmp_path) == set()
    with Memory(place, **options) as memory:
        assert texts(memory) == before
        memory.forget(user_id="passenger-ana", session_id="s")
        assert memory.verify().ok
        assert texts(memory) == [one for one in before if "Usambara" in one]


def test_a_store_is_encrypted_by_way_of_a_file_and_back(
    tmp_path: Path, model: ModelBundle, key_file: Path
) -> None:
    with Memory(tmp_path / "plain", model=model) as plain:
        fill(plain)
        before = texts(plain)
        plain.export(tmp_path / "all.amem", passphrase="a passphrase")
    with Memory(tmp_path / "store", model=model, key=key_file) as memory:
        memory.load(tmp_path / "all.amem", passphrase="a passphrase")
        assert texts(memory) == before
        assert memory.verify().ok
        memory.export(tmp_path / "back.amem", user_id="passenger-ana")
    assert in_files(tmp_path / "store") == set()
    with Memory(tmp_path / "other", model=model) as other:
        other.load(tmp_path / "back.amem")
        assert texts(other) == before


def test_what_is_forgotten_as_a_whole_is_gone_from_backups(
    tmp_path: Path, model: ModelBundle, key_file: Path
) -> None:
    options: dict[str, Any] = {"model": model, "key": key_file}
    with Memory(tmp_path / "store", **options) as memory:
        fill(memory)
        memory.add("Ben stays", user_id="passenger-ben")
        memory.backup(tmp_path / "backup")
        memory.forget(user_id="passenger-ana")
    # As a restore does: the backup, and the key ring of today.
    (tmp_path / "backup" / "keys.db").write_bytes((tmp_path / "store" / "keys.db").read_bytes())
    with Memory(tmp_path / "backup", **options) as restored:
        assert texts(restored) == ["Ben stays"]
        assert [one.user_id for one in restored.scopes()] == ["passenger-ben"]
        assert restored.verify().ok


@pytest.mark.parametrize("kind", ["sources", "chunks"])
def test_a_message_that_cannot_be_read_spoils_no_recall(
    tmp_path: Path, model: ModelBundle, key_file: Path, kind: str
) -> None:
    options: dict[str, Any] = {"model": model, "key": key_file}
    said = [{"role": "user", "content": f"The train to Zanzibar has {n} cars."} for n in range(3)]
    with Memory(tmp_path / "store", **options) as memory:
        memory.add(said, user_id="passenger-ana")
    with closing(sqlite3.connect(tmp_path / "store" / "encrypted.db")) as file:
        damage = "UPDATE rows SET content = zeroblob(99) WHERE kind = ? AND id = 2"
        file.execute(damage, (kind,))
        file.commit()
    with Memory(tmp_path / "store", **options) as memory:
        # They seem to contradict each other, so that links lead to what is damaged.
        for user_id, expand in CALLS:
            hits = memory.recall(
                "Which train goes to Zanzibar?", k=2, expand=expand, user_id=user_id
            )
            assert {hit.id for hit in hits} == {1, 3}
        assert not memory.verify().ok


def test_an_encrypted_store_is_migrated(tmp_path: Path, key_file: Path) -> None:
    old, new = tiny_bundle(tmp_path / "a"), tiny_bundle(tmp_path / "b", seed=1)
    with Memory(tmp_path / "store", model=old, key=key_file) as memory:
        fill(memory)
        before = texts(memory)
    with pytest.raises(KeyRequiredError):
        Memory.migrate(tmp_path / "store", model=new, from_model=old)
    done = Memory.migrate(
        tmp_path / "store", model=new, from_model=old, key=key_file, keep_old=tmp_path / "old"
    )
    assert done.changed == "latents"
    assert in_files(tmp_path / "store") | in_files(tmp_path / "old") == set()
    with Memory(tmp_path / "store", model=new, key=key_file) as memory:
        assert texts(memory) == before
        assert memory.verify().ok


def test_keys_are_in_no_repr_error_or_pickle(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, key = tiny_bundle(tmp_path / "bundle"), key_file.read_bytes()
    with Memory(tmp_path / "store", model=bundle, key=key) as memory:
        fill(memory)
        assert repr(memory) == f"Memory({str(tmp_path / 'store')!r})"
        with pytest.raises(StoreError, match="is not sent to another process"):
            pickle.dumps(memory)
    monkeypatch.chdir(tmp_path)
    with Memory(tmp_path / "store", model=bundle, key="key") as memory:
        sent = pickle.dumps(memory.scoped(user_id="passenger-ana"))
        assert key not in sent
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        arrived: Memory = pickle.loads(sent)
        assert texts(arrived) == texts(memory)
    with pytest.raises(WrongKeyError) as raised:
        Memory(tmp_path / "store", model=bundle, key=lambda: bytes(32))
    assert key.hex() not in str(raised.value)


def test_asyncio_opens_it_too(tmp_path: Path, model: ModelBundle, key_file: Path) -> None:
    async def run() -> None:
        async with AsyncMemory(tmp_path / "store", model=model, key=key_file) as memory:
            await memory.add(TALK, user_id="passenger-ana")
            assert len(await memory.recall("Zanzibar", user_id="passenger-ana")) == 2
            made = await memory.backup(tmp_path / "copy", keys=True)
            assert made.memories == 2
        async with AsyncMemory(tmp_path / "copy", model=model, key=key_file) as copy:
            assert await copy.count() == 2

    asyncio.run(run())
    assert in_files(tmp_path / "store") == set()
