"""Taking rows out of the lexical index page by page: as if they had never been in it."""

from __future__ import annotations

import _sqlite3
import ctypes
import random
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, event

from agentmem_storage.sql.lexical import lexicon, terms, unindexing
from agentmem_storage.sql.lexical.leaf import Leaf, UnusualError, first_continued, number, packed
from agentmem_storage.sql.lexical.lexicon_pages import SEGMENT_BITS, routes_hold, segments

COMMON = [f"common{letter}" for letter in "abcdefgh"]
# Pages this small have everything that is rare on larger ones: words and postings on several.
SMALL = 120


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unindexing, "ROWS_FOR_EACH", 0)


def make(path: Path | None = None, page_bytes: int = 0) -> Engine:
    engine = create_engine("sqlite://" if path is None else f"sqlite:///{path}")
    event.listen(engine, "connect", lambda own, _: own.execute("PRAGMA synchronous = OFF"))
    with engine.begin() as connection:
        connection.exec_driver_sql(lexicon.TABLE)
        if page_bytes:
            insert = "INSERT INTO chunk_terms (chunk_terms, rank) VALUES ('pgsz', ?)"
            connection.exec_driver_sql(insert, (page_bytes,))
    return engine


def texts_of(chance: random.Random, count: int, first: int = 1) -> dict[int, str]:
    """Texts of words that many have, with one each that no other has, by id."""
    texts = {}
    for id in range(first, first + count):
        words = chance.choices(COMMON, k=chance.randint(1, 12))
        texts[id] = " ".join([*words, only(id), *chance.choices(COMMON, k=2)])
    return texts


def only(id: int) -> str:
    """A word that no other text has."""
    return "".join(random.Random(id).choices("bcdfghjklmnpqrtvwxz", k=10)) + "x"


def traces(id: int) -> bytes:
    """What a page has of that word, however much of it is that of the word before."""
    return only(id)[4:].encode()


def insert(engine: Engine, texts: Mapping[int, str], commits: int = 1) -> None:
    ids = list(texts)
    commits = min(commits, len(ids)) or 1
    for first in range(0, len(ids), -(-len(ids) // commits) or 1):
        with engine.begin() as connection:
            part = ids[first : first - (-len(ids) // commits)]
            terms.insert(connection, [(id, texts[id]) for id in part])


def blocks(connection: Connection) -> bytes:
    rows = connection.exec_driver_sql("SELECT block FROM chunk_terms_data")
    routes = connection.exec_driver_sql("SELECT term FROM chunk_terms_idx")
    return b"|".join([*(row[0] for row in rows), *(row[0] for row in routes)])


def found(connection: Connection, word: str) -> list[tuple[int, float]]:
    query = "SELECT rowid, bm25(chunk_terms) FROM chunk_terms WHERE chunk_terms MATCH ?"
    return [tuple(row) for row in connection.exec_driver_sql(f"{query} ORDER BY rowid", (word,))]


def require_same(engine: Engine, texts: Mapping[int, str]) -> None:
    """An index is whole, and finds what one does that never had anything else."""
    fresh = make()
    insert(fresh, texts)
    with engine.begin() as connection, fresh.begin() as expected:
        terms.verify(connection)
        assert lexicon.counts_hold(expected)
        rows = connection.exec_driver_sql("SELECT id, sz FROM chunk_terms_docsize ORDER BY id")
        others = expected.exec_driver_sql("SELECT id, sz FROM chunk_terms_docsize ORDER BY id")
        assert rows.all() == others.all()
        for word in [*COMMON, *(text.split()[-3] for text in list(texts.values())[-9:])]:
            assert found(connection, word) == found(expected, word)
        words = lexicon.IndexedWords(connection)
        assert words.differing(texts) == []
        assert words.strays() == set()
    fresh.dispose()


@contextmanager
def erased(engine: Engine, texts: dict[int, str], ids: list[int]) -> Iterator[dict[int, str]]:
    """Take rows out, by FTS5 what is left; those."""
    with engine.begin() as connection:
        left = unindexing.erase(connection, {id: texts[id] for id in ids})
        terms.delete(connection, left)
        yield left
    for id in ids:
        del texts[id]


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), page_bytes=st.sampled_from([SMALL, 300, 4050]))
def test_what_is_left_is_as_if_the_rows_had_never_been_there(seed: int, page_bytes: int) -> None:
    chance = random.Random(seed)
    engine = make(page_bytes=page_bytes)
    texts = texts_of(chance, chance.randint(1, 60))
    insert(engine, texts, chance.randint(1, 9))
    if chance.random() < 0.5:
        with engine.begin() as connection:
            terms.optimize(connection)
    gone: list[int] = []
    for round in range(3):
        ids = chance.sample(list(texts), min(len(texts), chance.randint(1, 12)))
        with erased(engine, texts, ids) as left:
            gone += [id for id in ids if id not in left]
        require_same(engine, texts)
        more = texts_of(chance, chance.randint(0, 20), first=1000 * (round + 1))
        insert(engine, more)
        texts |= more
    with engine.begin() as connection:
        kept = blocks(connection)
        assert not [id for id in gone if traces(id) in kept]
        terms.optimize(connection)
        assert routes_hold(connection)
    require_same(engine, texts)
    engine.dispose()


def test_pages_that_are_merged_already_leave_no_words() -> None:
    """FTS5 merges a little at each commit, and keeps what leads to pages that it has deleted."""
    engine = make(page_bytes=SMALL)
    chance, texts, taken_out = random.Random(1), dict[int, str](), 0
    for first in range(1, 2_000, 10):
        more = wordy(chance, 10, first)
        insert(engine, more)
        texts |= more
        with engine.begin() as connection:
            assert routes_hold(connection)
            merged = merged_words(connection)
        for word in merged:
            ids = [id for id, text in texts.items() if f" {word}" in text]
            if len(ids) == 1:
                with erased(engine, texts, ids) as left:
                    taken_out += not left
                with engine.begin() as connection:
                    assert left or f"|0{word}".encode() not in blocks(connection)
                    assert routes_hold(connection)
                break
    assert taken_out > 5
    require_same(engine, texts)
    engine.dispose()


def wordy(chance: random.Random, count: int, first: int = 1) -> dict[int, str]:
    """Texts with five words each that no other has, by id."""
    return {
        id: " ".join([*chance.choices(COMMON, k=6), *(only(10 * id + n) for n in range(5))])
        for id in range(first, first + count)
    }


def merged_words(connection: Connection) -> list[str]:
    """What leads to pages that are not there any more."""
    block = connection.exec_driver_sql("SELECT block FROM chunk_terms_data WHERE id = 10").scalar()
    query = "SELECT term FROM chunk_terms_idx WHERE segid = ? AND pgno >> 1 < ?"
    return [
        term.decode()[1:]
        for segment, first, _ in segments(block)
        for (term,) in connection.exec_driver_sql(query, (segment, first))
    ]


@pytest.mark.parametrize("merged", [False, True])
def test_what_leads_to_a_wrong_page_is_noticed(merged: bool) -> None:
    engine = make(page_bytes=SMALL)
    texts = wordy(random.Random(3), 80)
    # In one go, or in parts of which some are merged in part.
    insert(engine, texts, 8 if merged else 1)
    with engine.begin() as connection:
        assert (merged_words(connection) != []) == merged
        rows = connection.exec_driver_sql("SELECT segid, term FROM chunk_terms_idx").all()
        for segment, term in random.Random(3).sample(rows, 40):
            for other in {term[:-1], term[:-2], term + b"~", b"", b"0", b"1"} - {term}:
                change = (
                    "UPDATE OR REPLACE chunk_terms_idx SET term = ? WHERE segid = ? AND term = ?"
                )
                with connection.begin_nested() as nested:
                    connection.exec_driver_sql(change, (other, segment, term))
                    if lost(connection, texts):
                        assert not routes_hold(connection), (term, other)
                    nested.rollback()
        assert routes_hold(connection)
    engine.dispose()


def lost(connection: Connection, texts: Mapping[int, str]) -> bool:
    """Whether a row is not found by a word of its own."""
    return any(not found(connection, text.split()[-1]) for text in texts.values())


def test_nearly_all_rows_of_a_large_index_are_taken_out(tmp_path: Path) -> None:
    chance = random.Random(7)
    engine = make(tmp_path / "one.db")
    texts = texts_of(chance, 500)
    insert(engine, texts)
    with engine.begin() as connection:
        terms.optimize(connection)
        pages = connection.exec_driver_sql("SELECT count(*) FROM chunk_terms_data").scalar_one()
        assert pages > 3
        # Another connection keeps what it has read.
    with engine.connect() as reader:
        assert len(found(reader, COMMON[0])) > 100
        done = 0
        for id in chance.sample(list(texts), 20):
            with erased(engine, texts, [id]) as left:
                done += not left
        reader.rollback()
        assert len(found(reader, only(7))) == (7 in texts)
    assert done >= 18
    require_same(engine, texts)
    with engine.begin() as connection:
        assert routes_hold(connection)
        assert lexicon.counts_hold(connection)
    engine.dispose()


def test_the_last_row_of_a_segment(tmp_path: Path) -> None:
    engine = make(tmp_path / "one.db")
    texts = texts_of(random.Random(3), 9)
    insert(engine, texts)
    alone = {100: f"commona {only(100)} commonb commonc"}
    insert(engine, alone)
    with engine.begin() as connection:
        assert traces(100) in blocks(connection)
    texts |= alone
    with erased(engine, texts, [100]) as left:
        assert left == {}
    require_same(engine, texts)
    with engine.begin() as connection:
        assert traces(100) not in blocks(connection)
        assert routes_hold(connection)
    insert(engine, more := texts_of(random.Random(4), 40, first=200), 20)
    texts |= more
    require_same(engine, texts)
    with engine.begin() as connection:
        terms.optimize(connection)
        assert routes_hold(connection)
    require_same(engine, texts)
    engine.dispose()


def test_pages_are_the_same_when_put_together_again() -> None:
    for page_bytes in (SMALL, 1000, 4050):
        engine = make(page_bytes=page_bytes)
        insert(engine, texts_of(random.Random(page_bytes), 150), 3)
        with engine.begin() as connection:
            rows = connection.exec_driver_sql("SELECT id, block FROM chunk_terms_data").all()
        # Those of the index of postings have a bit of their own.
        leaves = [block for id, block in rows if id > 1 << SEGMENT_BITS and not id >> 36 & 1]
        assert len(leaves) >= 2
        for block in leaves:
            leaf = Leaf.unpack(block)
            assert leaf.pack() == block
            first = first_continued(block)
            assert first == (number(leaf.continued, 0)[0] if leaf.continued else None)
        if page_bytes == SMALL:
            assert any(Leaf.unpack(block).continued for block in leaves)
        engine.dispose()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**31, 2**55, 2**56 - 1])
def test_numbers(value: int) -> None:
    assert number(b"\xff" + packed(value) + b"\xff", 1) == (value, 1 + len(packed(value)))


@pytest.mark.parametrize("value", [-1, 2**56])
def test_numbers_that_have_no_place(value: int) -> None:
    with pytest.raises(OverflowError):
        packed(value)


@pytest.mark.parametrize(
    "block", [b"", b"\0\0\0", b"\0\0\xff\xff", b"\0\0\0\x08\x0101xx\x04", b"\0\x05\0\x05\x01\x05"]
)
def test_a_page_that_is_no_page_is_left(block: bytes) -> None:
    with pytest.raises(UnusualError):
        Leaf.unpack(block)


@pytest.mark.parametrize("more", [True, False], ids=["more", "less"])
def test_a_text_that_is_not_the_one_indexed_changes_nothing(more: bool) -> None:
    engine = make()
    texts = texts_of(random.Random(5), 50)
    insert(engine, texts)
    with engine.begin() as connection:
        before = blocks(connection)
        wrong = {3: f"{texts[3]} another" if more else texts[3].split()[0]}
        assert unindexing.erase(connection, wrong) == wrong
        assert blocks(connection) == before
    engine.dispose()


def test_a_small_index_is_left_to_fts5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unindexing, "ROWS_FOR_EACH", 30)
    engine = make()
    texts = texts_of(random.Random(6), 50)
    insert(engine, texts)
    with engine.begin() as connection:
        two = {id: texts[id] for id in (1, 2)}
        assert unindexing.erase(connection, two) == two
        assert unindexing.erase(connection, {1: texts[1]}) == {}
    engine.dispose()


def defend(connection: Connection) -> None:
    """Make the tables of FTS5 read-only, as SQLite is built on macOS."""
    own: Any = connection.connection.driver_connection
    if sys.version_info >= (3, 12):
        own.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
        return
    configure = ctypes.CDLL(_sqlite3.__file__).sqlite3_db_config
    # The first member behind the head of the object.
    handle = ctypes.c_void_p.from_address(id(own) + 2 * ctypes.sizeof(ctypes.c_void_p))
    was = ctypes.c_int()
    defensive = 1010
    assert configure(handle, defensive, ctypes.c_int(1), ctypes.byref(was)) == 0
    assert was.value == 1


def test_where_only_fts5_may_write_it_is_left_to_fts5(tmp_path: Path) -> None:
    engine = make(tmp_path / "one.db")
    texts = texts_of(random.Random(6), 50)
    insert(engine, texts)
    with engine.begin() as connection:
        defend(connection)
        assert unindexing.erase(connection, {1: texts[1]}) == {1: texts[1]}
        terms.delete(connection, {1: texts.pop(1)})
    require_same(engine, texts)
    with engine.begin() as connection:
        defend(connection)
        lexicon.reset(connection)
        terms.insert(connection, list(texts.items()))
    require_same(engine, texts)
    engine.dispose()
