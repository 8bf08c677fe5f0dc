"""The two files of an encrypted store: one without the other, and those of a store that is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.errors import (
    InputError,
    StoreIncompleteError,
    StoreKeyError,
    StoreNotFoundError,
)
from agentmem_storage.records import Scope
from agentmem_storage.sql.sealed import encrypted
from tests.support.encrypted import ANA, BEN, KEY, TEXT, edit, keys_of, open_store, source


def _empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("lose", [Path.unlink, _empty])
@pytest.mark.parametrize("create", [True, False])
def test_a_ring_whose_store_is_gone_is_refused(
    tmp_path: Path, lose: Callable[[Path], None], create: bool
) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
    file = tmp_path / "s" / "encrypted.db"
    whole, ring = file.read_bytes(), (tmp_path / "s" / "keys.db").read_bytes()
    lose(file)
    with pytest.raises(StoreIncompleteError, match=r"put encrypted\.db back.*delete keys\.db"):
        open_store(tmp_path / "s", create=create)
    assert not file.exists() or file.read_bytes() == b""
    assert (tmp_path / "s" / "keys.db").read_bytes() == ring
    file.write_bytes(whole)
    with open_store(tmp_path / "s", create=create) as store:
        assert store.count() == 1


def test_also_if_all_that_was_in_it_had_been_forgotten(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        store.forget([1], {1: TEXT})
    (tmp_path / "s" / "encrypted.db").unlink()
    with pytest.raises(StoreIncompleteError):
        open_store(tmp_path / "s")


def test_a_store_that_another_has_just_made_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        looked = encrypted._is_new
        answers = [True]  # as of before it was made

        def is_new(*args: Any) -> bool:
            return answers.pop() if answers else looked(*args)

        monkeypatch.setattr(encrypted, "_is_new", is_new)
        with open_store(tmp_path / "s") as beside:
            assert not answers
            beside.add([source()], BEN)
        assert store.count() == 2


def test_the_key_of_who_died_making_a_store_is_that_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for _ in range(3):
        KeyRing.make(tmp_path / "s" / "keys.db", "s", KEY, 1.0).begin()
        with pytest.raises(StoreNotFoundError, match="there is no store"):
            open_store(tmp_path / "s", create=False)
    with open_store(tmp_path / "s") as store:
        assert keys_of(tmp_path / "s") == [True]
        store.add([source()], ANA)
    assert keys_of(tmp_path / "s") == [True, True]


def _raise() -> bytes:
    raise LookupError


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (b"short", StoreKeyError),
        ("no such file", StoreKeyError),
        (lambda: bytes(3), StoreKeyError),
        (lambda: "text", TypeError),
        (_raise, LookupError),
        (32, TypeError),
    ],
)
def test_what_is_no_key_leaves_nothing_of_a_new_store(
    tmp_path: Path, key: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_store(tmp_path / "folder" / "s", key)
    assert list(tmp_path.iterdir()) == []


def test_nor_a_key_file_that_would_be_in_it(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "sub").mkdir()
    (tmp_path / "s" / "sub" / "key").write_bytes(KEY)
    with pytest.raises(InputError):
        open_store(tmp_path / "s" / "sub" / "deeper" / "..", tmp_path / "s" / "sub" / "key")
    assert [one.name for one in (tmp_path / "s" / "sub").iterdir()] == ["key"]


def test_the_size_of_a_store_is_that_of_all_its_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        for number in range(3):
            store.add([source()], Scope(f"user {number}"))
        found = store.stats().file_bytes
        files = {file.name: file.stat().st_size for file in (tmp_path / "s").iterdir()}
    assert files.keys() == {"encrypted.db", "keys.db"}
    assert found == sum(files.values())


@pytest.mark.parametrize(
    ("statement", "chunks", "sources"),
    [
        ("UPDATE rows SET content = zeroblob(99) WHERE kind = 'sources' AND id = 2", [1, 3], 2),
        ("DELETE FROM rows WHERE kind = 'sources' AND id = 2", [1, 3], 2),
        ("UPDATE rows SET content = zeroblob(99) WHERE kind = 'chunks' AND id = 2", [1, 3], 2),
        ("DELETE FROM rows WHERE kind = 'chunks' AND id = 2", [1, 3], 2),
        ("UPDATE rows SET content = zeroblob(99) WHERE kind = 'links'", [1, 2, 3], 3),
    ],
)
def test_what_cannot_be_read_is_counted_nowhere(
    tmp_path: Path, statement: str, chunks: list[int], sources: int
) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source(), source("second", external_id="2")], ANA)
        store.add([source("third")], BEN)
        store.supersede(1, 2)
    edit(tmp_path / "s", statement)
    with open_store(tmp_path / "s") as store:
        there = store.chunks(store.ids())
        listed = [one for one in there if store.sources_present([one.source_id])]
        assert [one.id for one in listed] == chunks
        assert store.count() == store.sums().chunks == len(chunks)
        stats = store.stats()
        assert (stats.chunks, stats.sources) == (len(chunks), sources)
        assert stats.tokens == store.sums().tokens == sum(one.tokens for one in listed)
        assert sum(stats.fidelity) == len(chunks)
        scopes = store.scopes()
        assert (sum(one.chunks for one in scopes), sum(one.sources for one in scopes)) == (
            len(chunks),
            sources,
        )
        assert store.stats(ANA).chunks + store.stats(BEN).chunks == len(chunks)
        assert list(store.check())
        store.repair(list(store.check()))
        assert store.count() == store.stats().chunks == len(chunks)
