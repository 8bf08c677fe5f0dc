"""The integrity check of a store: every kind of damage is reported by id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import CorruptRecordError, StoreError
from agentmem_storage.records import Problem, Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

FLIPPED = "CAST(substr({0}, 1, 15) || x'5A' || substr({0}, 17) AS BLOB)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three sources: chunks 1 to 3, chunk 4, chunk 5."""
    new = [
        make_source("a longer text " * 12, patch=b"a patch of some length"),
        make_source("kept text, word for word", keep_text=True),
        make_source("plain", metadata={"a": "b"}),
    ]
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        store.add(new, Scope("a"))
        assert list(store.check()) == []
        yield store


def damage(store: Store, statement: str, *values: Any) -> None:
    with store._database.write() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        assert connection.exec_driver_sql(statement, values).rowcount > 0


@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        pytest.param(
            f"UPDATE chunks SET latents = {FLIPPED.format('latents')} WHERE id = 2",
            [(2, "the latents of memory 2")],
            id="latents",
        ),
        pytest.param(
            f"UPDATE chunks SET key = {FLIPPED.format('key')} WHERE id = 2",
            [(2, "the embedding of memory 2")],
            id="key",
        ),
        pytest.param(
            f"UPDATE chunks SET patch = {FLIPPED.format('patch')} WHERE id = 2",
            [(2, "the patch of memory 2")],
            id="patch",
        ),
        pytest.param(
            f"UPDATE chunks SET text = {FLIPPED.format('text')} WHERE id = 4",
            [(4, "the stored text of memory 4")],
            id="text",
        ),
        pytest.param(
            "UPDATE chunks SET text = x'FF' WHERE id = 4",
            [(4, "the stored text of memory 4")],
            id="text that is no UTF-8",
        ),
        pytest.param(
            "UPDATE chunks SET key = (SELECT latents FROM chunks WHERE id = 5) WHERE id = 5",
            [(5, "the embedding of memory 5")],
            id="latents for a key",
        ),
        pytest.param(
            "UPDATE chunks SET fidelity = 1.5 WHERE id = 5",
            [
                (5, "fidelity 1.5"),
                (5, "the place, length or hash of one of its chunks was altered"),
            ],
            id="fidelity",
        ),
        pytest.param(
            'UPDATE chunks SET "end" = 63 WHERE id = 1',
            [(2, "spans 64 to 128, but should start at 63")],
            id="gap",
        ),
        pytest.param(
            "UPDATE sources SET chars = 6 WHERE id = 3", [(5, "end at 5 of 6")], id="length"
        ),
        pytest.param(
            "UPDATE sources SET metadata = x'7B' WHERE id = 3",
            [(5, "metadata of source 3")],
            id="metadata",
        ),
        pytest.param(
            "DELETE FROM chunk_terms_docsize WHERE id = 4",
            [(4, "missing from the lexical index")],
            id="terms",
        ),
    ],
)
def test_damage_is_found_by_id(
    store: Store, statement: str, problems: list[tuple[int, str]]
) -> None:
    damage(store, statement)
    found = [problem for problem in store.check() if "lexical index:" not in problem.what]
    assert [problem.chunk_id for problem in found] == [chunk_id for chunk_id, _ in problems]
    for problem, (_, words) in zip(found, problems, strict=True):
        assert words in problem.what


def test_several_problems_are_all_found(store: Store) -> None:
    for column, chunk_id in [("latents", 1), ("key", 1), ("latents", 3), ("key", 5)]:
        damage(store, f"UPDATE chunks SET {column} = x'00' WHERE id = ?", chunk_id)
    assert [problem.chunk_id for problem in store.check()] == [1, 1, 3, 5]


def test_a_damaged_row_is_never_dropped_in_silence(store: Store) -> None:
    damage(store, "UPDATE chunks SET latents = x'00' WHERE id = 4")
    with pytest.raises(CorruptRecordError) as caught:
        store.chunks([1, 4, 5])
    assert caught.value.id == 4
    batches = store.iterate(batch_size=3)
    assert [chunk.id for chunk in next(batches)] == [1, 2, 3]
    with pytest.raises(CorruptRecordError):
        next(batches)
    assert [chunk.id for chunk in store.chunks([1, 2, 3, 5])] == [1, 2, 3, 5]


@pytest.mark.parametrize("column", ["latents", "patch", "text"])
def test_damaged_rows_are_given_to_those_who_ask(store: Store, column: str) -> None:
    damage(store, f"UPDATE chunks SET {column} = x'00' WHERE id = 4")
    listed = [chunk for batch in store.iterate(keep_damaged=True) for chunk in batch]
    assert [chunk.id for chunk in listed if chunk.damage is None] == [1, 2, 3, 5]
    (damaged,) = store.chunks([4], keep_damaged=True)
    assert damaged.damage is not None
    assert column in damaged.damage
    assert (damaged.latents, damaged.patch, damaged.text) == (b"", b"", None)
    assert (damaged.source_id, damaged.start, damaged.end) == (2, 0, 24)


def test_damaged_metadata_are_reported_on_reading(store: Store) -> None:
    damage(store, "UPDATE sources SET metadata = x'7B' WHERE id = 3")
    with pytest.raises(CorruptRecordError, match="metadata of source 3"):
        store.sources([3])
    (source,) = store.sources([3], keep_damaged=True)
    assert source.damage is not None
    assert "metadata of source 3" in source.damage
    assert (source.metadata, source.chunk_ids) == ({}, (5,))


def test_a_lost_chunk_is_missed(store: Store) -> None:
    damage(store, "DELETE FROM chunks WHERE id = 2")
    problems = list(store.check())
    assert [problem.chunk_id for problem in problems] == [3, 1, None, None, None]
    assert "not those that its chunks were given" in problems[1].what
    assert "still contains 1 forgotten" in problems[2].what
    assert "the number of memories that is kept" in problems[3].what
    assert "the change log is damaged" in problems[4].what


def test_a_source_without_chunks_is_reported(store: Store) -> None:
    damage(store, "DELETE FROM chunks WHERE id = 4")
    whats = [problem.what for problem in store.check()]
    assert "source 2 has no chunks" in whats


def test_a_chunk_without_a_source_is_reported(tmp_path: Path, store: Store) -> None:
    with store._database.read() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM sources WHERE id = 3")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql("BEGIN")
    assert list(store.check()) == [Problem(5, "row 5 of 'chunks' belongs to no row of 'sources'")]


def test_a_broken_lexical_index_is_reported(store: Store) -> None:
    damage(store, "UPDATE chunk_terms_data SET block = x'0000000000' WHERE id > 10")
    assert any("lexical index:" in problem.what for problem in store.check())
    texts = {1: "a", 2: "b", 3: "c", 4: "word for word", 5: "plain"}
    store.rebuild_terms(texts.items())
    assert list(store.check()) == []
    assert list(store.search_terms("word", 3).ids) == [4]


def test_a_damaged_page_is_reported(tmp_path: Path, store: Store) -> None:
    store.add([make_source(f"memory {n} " * 30) for n in range(100)], Scope("b"))
    (record,) = store.chunks([50])
    store.close()
    database = tmp_path / "s" / "memory.db"
    data = bytearray(database.read_bytes())
    page = data.index(record.text_hash) // 4096 * 4096  # one of the table of chunks
    data[page : page + 2048] = bytes(2048)
    database.write_bytes(data)
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as damaged:
        problems = list(damaged.check())
        unread = {one.chunk_id for one in problems if "cannot be read" in one.what}
        assert any(problem.what.startswith("database: ") for problem in problems)
        assert unread
        for chunk_id in damaged.ids():
            if chunk_id in unread:
                with pytest.raises(StoreError, match="damaged"):
                    damaged.chunks([chunk_id])
            else:
                damaged.chunks([chunk_id])
