"""`Memory` on an encrypted store: every verb works, and no file has a word of it."""

from __future__ import annotations

import asyncio
import pickle
import secrets
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentmem import ANY, AsyncMemory, Document, Memory
from agentmem.errors import (
    CorruptRecordError,
    InputError,
    KeyRequiredError,
    StoreError,
    StoreKeyError,
    UnknownIdError,
    WrongKeyError,
)
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
    damage(tmp_path / "store", kind, 2)
    with Memory(tmp_path / "store", **options) as memory:
        # They seem to contradict each other, so that links lead to what is damaged.
        for user_id, expand in CALLS:
            hits = memory.recall(
                "Which train goes to Zanzibar?", k=2, expand=expand, user_id=user_id
            )
            assert {hit.id for hit in hits} == {1, 3}
        assert not memory.verify().ok


@pytest.mark.parametrize("kind", ["sources", "chunks"])
def test_links_that_lead_to_what_cannot_be_read(
    tmp_path: Path, model: ModelBundle, key_file: Path, kind: str
) -> None:
    options: dict[str, Any] = {"model": model, "key": key_file}
    said = [{"role": "user", "content": f"The train to Zanzibar has {n} cars."} for n in range(4)]
    with Memory(tmp_path / "store", **options) as memory:
        ids = memory.add(said, user_id="passenger-ana").ids
        for old, new in pairwise(ids[:3]):
            memory.supersede(old, new)
        assert [one.id for one in memory.history(1)] == [1, 2, 3]
        assert any(2 in (one.old, one.new) for one in memory.conflicts())
    damage(tmp_path / "store", kind, 2)
    with Memory(tmp_path / "store", **options) as memory:
        for id in (1, 3):
            assert [one.id for one in memory.history(id)] == [1, 3]
        assert [one.id for one in memory.history(4)] == [4]
        with pytest.raises(CorruptRecordError):
            memory.history(2)
        found = memory.conflicts()
        assert found
        assert not any(2 in (one.old, one.new) for one in found)
        hit = memory.recall("Zanzibar", user_id="passenger-ana", k=1)[0]
        assert 2 not in hit.supersedes + hit.superseded_by
        # What is left of the chain can be linked anew, and taken apart.
        memory.supersede(3, 4)
        assert [one.id for one in memory.history(1)] == [1, 3, 4]
        assert not memory.verify().ok
        memory.repair()
        assert memory.verify().ok
        # With a message, its links are gone; without its chunks, it still stands between others.
        joined = [3, 4] if kind == "sources" else [1, 3, 4]
        assert [one.id for one in memory.history(4)] == joined


@pytest.mark.parametrize("first", [True, False])
def test_a_document_of_which_a_part_cannot_be_read(
    tmp_path: Path, model: ModelBundle, key_file: Path, first: bool
) -> None:
    options: dict[str, Any] = {"model": model, "key": key_file}
    with Memory(tmp_path / "store", **options) as memory:
        ids = memory.add(BOOK, user_id="passenger-ana").ids
        assert len(ids) > 2
        memory.supersede(ids[0], memory.add("The line was closed.", user_id="passenger-ana").ids[0])
        whole = memory.history(ids[1])[0]
    lost = ids[0] if first else ids[1]
    damage(tmp_path / "store", "chunks", lost)
    with Memory(tmp_path / "store", **options) as memory:
        left = [id for id in ids if id != lost]
        for id in (left[-1], ids[-1] + 1):
            book, note = memory.history(id)
            assert note.text == "The line was closed."
            assert [one.id for one in book.chunks] == left
            # It says that it is not all of the text.
            assert not book.complete
            assert book.text == "".join(one.text for one in whole.chunks if one.id != lost)
        assert memory.count() == memory.stats().memories == len(left) + 1
        assert any(one.id == lost for one in memory.verify().damage)


@pytest.mark.parametrize("kind", ["sources", "chunks"])
def test_counts_agree_with_lists_about_what_cannot_be_read(
    tmp_path: Path, model: ModelBundle, key_file: Path, kind: str
) -> None:
    options: dict[str, Any] = {"model": model, "key": key_file}
    with Memory(tmp_path / "store", **options) as memory:
        memory.add(TALK, user_id="passenger-ana", metadata={"n": 1})
        memory.add("Ben stays", user_id="passenger-ben", metadata={"n": 1})
    damage(tmp_path / "store", kind, 2)
    with Memory(tmp_path / "store", **options) as memory:
        filters: list[dict[str, Any]] = [
            {},
            {"user_id": "passenger-ana"},
            {"user_id": "passenger-ben"},
            {"where": {"n": 1}},
            {"since": "2000-01-01"},
        ]
        for one in filters:
            listed = list(memory.list(**one))
            assert memory.count(**one) == len(listed) > 0
            if one.keys() <= {"user_id"}:
                stats = memory.stats(**one)
                assert stats.memories == len(listed)
                assert stats.sources == len({chunk.source.id for chunk in listed})
                assert stats.tokens == sum(chunk.tokens for chunk in listed)
        assert sorted(use.memories for use in memory.scopes()) == [1, 1]


def damage(store: Path, kind: str, id: int) -> None:
    with closing(sqlite3.connect(store / "encrypted.db")) as file:
        change = "UPDATE rows SET content = zeroblob(99) WHERE kind = ? AND id = ?"
        assert file.execute(change, (kind, id)).rowcount == 1
        file.commit()


def test_the_key_is_changed(tmp_path: Path, key_file: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    new = tmp_path / "new"
    new.write_bytes(secrets.token_bytes(32))
    with Memory(tmp_path / "store", model=bundle, key=key_file) as memory:
        fill(memory)
        ana = memory.scoped(user_id="passenger-ana")
        with pytest.raises(InputError, match="complete store"):
            ana.change_key(new)
        before = texts(memory)
        memory.change_key(new)
        memory.add("Ben comes later", user_id="passenger-ben")
        # Another process is told where the new key is, by handles that were made before, too.
        sent: Memory = pickle.loads(pickle.dumps(ana))
        assert texts(sent) == before
        memory.change_key(secrets.token_bytes(32))
        with pytest.raises(StoreError, match="is not sent to another process"):
            pickle.dumps(ana)
        memory.change_key(new)
    with pytest.raises(WrongKeyError):
        Memory(tmp_path / "store", model=bundle, key=key_file)
    with Memory(tmp_path / "store", model=bundle, key=new) as memory:
        assert texts(memory) == [*before, "Ben comes later"]
        assert memory.verify().ok
    assert in_files(tmp_path / "store") == set()
    with Memory(tmp_path / "plain", model=bundle) as plain:
        with pytest.raises(InputError, match="is not encrypted"):
            plain.change_key(new)


def test_asyncio_changes_it_too(tmp_path: Path, model: ModelBundle, key_file: Path) -> None:
    new = secrets.token_bytes(32)

    async def run() -> None:
        async with AsyncMemory(tmp_path / "store", model=model, key=key_file) as memory:
            await memory.add(TALK, user_id="passenger-ana")
            await memory.change_key(new)
            assert await memory.count() == 2
        async with AsyncMemory(tmp_path / "store", model=model, key=new) as memory:
            assert await memory.count() == 2

    asyncio.run(run())


def test_a_key_that_is_none_leaves_no_folder(tmp_path: Path, model: ModelBundle) -> None:
    with pytest.raises(StoreKeyError):
        Memory(tmp_path / "new" / "store", model=model, key=b"short")
    assert list(tmp_path.iterdir()) == []


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
