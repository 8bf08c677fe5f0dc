"""Deletion from disk: no byte of a forgotten source remains in the store's files."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

import agentmem_storage
from agentmem_storage.index import IndexKind
from agentmem_storage.records import NewSource, Scope, Written
from agentmem_storage.sql.connection import erasing
from agentmem_storage.sql.lexical import unindexing
from agentmem_storage.sql.schema import codec
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source, terms_of

# Shorter ones are found by chance now and then.
SHORTEST = 9
Pair = tuple[Written, NewSource]
ENVIRONMENT = {"PYTHONPATH": str(Path(agentmem_storage.__file__).parents[1])}


def open_store(
    location: Path | str, *, index: IndexKind = "exact", timeout_s: float = 240.0
) -> Store:
    return Store.open(
        location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index, timeout_s=timeout_s
    )


class Writer:
    """Makes sources of words that no file has by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def word(self) -> str:
        # Porter takes the ending away; what is before it is looked for.
        return "".join(self._random.choices("bcdfghjklmnpqrtvwxz", k=12)) + "ings"

    def source(self, words: int) -> NewSource:
        return make_source(
            " ".join(self.word() for _ in range(words)),
            title=self.word(),
            name=self.word(),
            role=self.word(),
            uri=self.word(),
            metadata={"key": self.word()},
            patch=self._random.randbytes(24),
            keep_text=self._random.random() < 0.3,
        )

    def fill(self, store: Store, count: int) -> list[Pair]:
        pairs: list[Pair] = []
        for size in [1, 7, count - 8]:
            new = [self.source(self._random.choice([3, 12, 60])) for _ in range(size)]
            pairs += zip(store.add(new, Scope(self.word())), new, strict=True)
        store.search_vectors(make_embedding("anything"), 3)
        return pairs


def traces(pair: Pair) -> dict[bytes, str]:
    """Byte strings that only this source can have put into a file."""
    _, source = pair
    fields = [source.title, source.name, source.role, source.uri, source.metadata["key"]]
    found = {str(field)[2:11].encode(): "field" for field in fields}
    found[source.content_hash] = "content hash"
    for chunk in source.chunks:
        # In its row, and in the cache of the index.
        found[codec.encode_embedding(chunk.embedding)[codec.HEADER_BYTES :]] = "key"
        found[chunk.latents[:16]] = "latents"
        found[chunk.patch] = "patch"
        found[chunk.text_hash] = "text hash"
        found |= {word[2:11].encode(): "term" for word in chunk.terms.split() if len(word) > 12}
    return {trace: what for trace, what in found.items() if len(trace) >= SHORTEST}


def found_in(folder: Path, wanted: Mapping[bytes, str]) -> dict[str, int]:
    """How many traces of each kind are in any file below a folder."""
    counts: dict[str, int] = {}
    files = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    places = places_of({trace[:8] for trace in wanted}, files)
    for trace, what in wanted.items():
        found = any(files.startswith(trace, at) for at in places.get(trace[:8], ()))
        counts[what] = counts.get(what, 0) + found
    return counts


def places_of(wanted: set[bytes], files: bytes) -> dict[bytes, list[int]]:
    """Where strings of eight bytes are in files: all of them in one pass."""
    known = np.unique(np.frombuffer(b"".join(wanted), "<u8"))
    places: dict[bytes, list[int]] = {}
    for shift in range(8):
        there = np.frombuffer(files, "<u8", (len(files) - shift) // 8, shift)
        nearest = known[np.searchsorted(known[:-1], there)]
        for at in np.flatnonzero(nearest == there).tolist():
            places.setdefault(there[at].tobytes(), []).append(8 * at + shift)
    return places


def all_traces(pairs: list[Pair]) -> dict[bytes, str]:
    return {trace: what for pair in pairs for trace, what in traces(pair).items()}


def texts_of(pairs: list[Pair]) -> dict[int, str]:
    return {one: text for pair in pairs for one, text in terms_of(*pair).items()}


def forget(store: Store, pairs: list[Pair]) -> None:
    texts = texts_of(pairs)
    receipt = store.forget(list(texts), texts)
    assert receipt.purged
    assert receipt.chunks == len(texts)


@pytest.fixture(params=["rewritten", "erased"])
def purged_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How purging cleans the files: as those of a small store, or as those of a large one."""
    if request.param == "erased":
        monkeypatch.setattr(erasing, "is_worthwhile", lambda _: True)
        monkeypatch.setattr(unindexing, "ROWS_FOR_EACH", 0)
    return str(request.param)


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, list[Pair]]:
    with open_store(tmp_path / "s") as store:
        pairs = Writer(0).fill(store, 40)
    return tmp_path / "s", pairs


@pytest.mark.parametrize("url", [False, True], ids=["folder", "url"])
@pytest.mark.parametrize("index", ["exact", "faiss"])
@pytest.mark.parametrize("loaded", [True, False], ids=["after a search", "index not loaded"])
def test_no_byte_is_left(
    tmp_path: Path, url: bool, index: IndexKind, loaded: bool, purged_by: str
) -> None:
    location = f"sqlite:///{tmp_path}/notes.db" if url else str(tmp_path / "s")
    with open_store(location, index=index) as store:
        pairs = Writer(1).fill(store, 40)
    gone, kept = all_traces(pairs[::2]), all_traces(pairs[1::2])
    # What is looked for is really what the files have: nothing else would be found gone.
    before = found_in(tmp_path, gone)
    assert all(before.values()), before
    (cache,) = tmp_path.rglob("keys.cache")
    assert found_in(cache.parent, gone)["key"] == before["key"]
    assert len(before) == 7
    with open_store(location, index=index) as store:
        if loaded:
            store.search_vectors(make_embedding("anything"), 3)
        forget(store, pairs[::2])
        assert not any(found_in(tmp_path, gone).values())
        assert list(store.check()) == []
    assert not any(found_in(tmp_path, gone).values())
    with open_store(location, index=index) as store:
        store.search_vectors(make_embedding("anything"), 3)
    still = found_in(tmp_path, kept)
    assert all(still.values()), still


@pytest.mark.parametrize("seed", [1])
def test_no_copy_is_left_in_a_page_that_was_rearranged(
    tmp_path: Path, seed: int, purged_by: str
) -> None:
    # When rows come and go, SQLite moves others between pages and leaves copies of them behind.
    chance, writer = random.Random(seed), Writer(seed)
    live: list[Pair] = []
    gone: dict[bytes, str] = {}
    with open_store(tmp_path) as store:
        for _ in range(4):
            live += writer.fill(store, 60)
            chance.shuffle(live)
            count = len(live) * chance.choice([1, 5, 9]) // 10
            forget(store, live[:count])
            gone |= all_traces(live[:count])
            del live[:count]
    assert found_in(tmp_path, gone) == dict.fromkeys(sorted(set(gone.values())), 0)


def test_a_replaced_content_is_gone(filled: tuple[Path, list[Pair]]) -> None:
    folder, pairs = filled
    written, source = pairs[5]
    fields = {trace for trace, what in traces(pairs[5]).items() if what == "field"}
    with open_store(folder) as store:
        store.replace_source(written.source_id, make_source("new"), terms_of(written, source))
        left = {trace for trace in traces(pairs[5]) if any(found_in(folder, {trace: "x"}).values())}
    assert not left - fields
    assert not left


def test_terms_that_were_not_given_are_removed_by_a_rebuild(
    filled: tuple[Path, list[Pair]],
) -> None:
    folder, pairs = filled
    gone, kept = pairs[:10], pairs[10:]
    with open_store(folder) as store:
        texts = texts_of(gone)
        some = dict(list(texts.items())[1:])
        receipt = store.forget(list(texts), some)
        assert receipt.terms_stale
        assert found_in(folder, all_traces(gone))["term"] > 0
        assert len(store.rebuild_terms(texts_of(kept).items())) == 0
        assert not store.terms_stale
        assert not any(found_in(folder, all_traces(gone)).values())


SEARCHER = """
import sys
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding
store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact")
for line in sys.stdin:
    print(len(store.search_vectors(make_embedding("x"), 1000).ids), flush=True)
store.close()
"""


def test_another_process_brings_nothing_back(
    filled: tuple[Path, list[Pair]], purged_by: str
) -> None:
    folder, pairs = filled
    command = [sys.executable, "-c", SEARCHER, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert int(other.stdout.readline()) == sum(len(one.chunk_ids) for one, _ in pairs)
        with open_store(folder) as store:
            Writer(3).fill(store, 10)
            forget(store, pairs)
            assert not any(found_in(folder, all_traces(pairs)).values())
        # It still has the keys in its memory, and saves its index when it ends.
        other.stdin.close()
        assert other.wait(timeout=240) == 0
    assert not any(found_in(folder, all_traces(pairs)).values())


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Keep a store at the state that it has now."""
    with store._database.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM chunks")
        yield


def test_a_reader_of_the_past_is_waited_for_and_reported(
    filled: tuple[Path, list[Pair]], purged_by: str
) -> None:
    folder, pairs = filled
    texts = texts_of(pairs[:5])
    with open_store(folder) as other, open_store(folder, timeout_s=0.2) as store:
        with reading(other):
            assert not store.forget(list(texts), texts).purged
            assert any(found_in(folder, all_traces(pairs[:5])).values())
        receipt = store.forget(list(texts), texts)
        assert (receipt.chunks, receipt.purged) == (0, True)
        assert not any(found_in(folder, all_traces(pairs[:5])).values())


CRASHER = """
import os, sys
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL
Database.purge = lambda self, wait=True: os._exit(9)
store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS)
store.forget([int(one) for one in sys.argv[2:]], {})
"""


def test_a_crash_before_the_purge_is_made_good_at_the_next_opening(
    filled: tuple[Path, list[Pair]],
) -> None:
    folder, pairs = filled
    gone = all_traces(pairs[:5])
    ids = [str(one) for one in texts_of(pairs[:5])]
    command = [sys.executable, "-c", CRASHER, str(folder), *ids]
    assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 9
    with closing(sqlite3.connect(folder / "memory.db")) as connection:
        assert connection.execute("SELECT unpurged FROM meta").fetchone()[0] != 0
    with open_store(folder) as store:
        assert store.terms_stale
        left = found_in(folder, gone)
    with closing(sqlite3.connect(folder / "memory.db")) as connection:
        assert connection.execute("SELECT unpurged FROM meta").fetchone()[0] == 0
    assert {what for what, count in left.items() if count} == {"term"}


def test_a_purge_needs_no_second_time(
    filled: tuple[Path, list[Pair]], caplog: pytest.LogCaptureFixture
) -> None:
    folder, pairs = filled
    with open_store(folder) as store:
        forget(store, pairs[:3])
    inode = (folder / "memory.db").stat().st_mtime_ns
    with open_store(folder) as store:
        assert store.forget([999_999], {}).purged
    assert (folder / "memory.db").stat().st_mtime_ns == inode
    assert re.search("forgotten", caplog.text) is None
