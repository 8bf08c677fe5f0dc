"""What is written, found and told is the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_storage.errors import ChangedError
from agentmem_storage.records import (
    EVERYTHING,
    ModelBinding,
    NewChunk,
    Page,
    Problem,
    Scope,
    Selection,
    StagedChunk,
)
from agentmem_storage.sql.lexical import terms
from agentmem_storage.sql.schema.any_value import pack, unpack
from agentmem_storage.store import Store
from agentmem_storage.testing import (
    EMBEDDING_DIMS,
    MODEL,
    NOON,
    make_embedding,
    make_latents,
    make_source,
    terms_of,
)
from agentmem_storage.testing.postgres import PostgresServer
from tests.storage.sql.test_filters import FILTERS, ROWS

ANA, BEN = Scope("ana"), Scope("ben", session_id="s")


def opened(location: str | Path, **options: Any) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, **options)


WORDS = ["tea", "train", "lyon", "jam", "bread", "ana is late"]
TEXTS = [
    "the train to Lyon leaves at 9:40",
    "Trains, trains! The trains of Lyon are late, and the late trains are full",
    "Crème brûlée, naïve café, Ærøskøbing",
    "東京駅へ行きます。東京タワー",
    "Ticket AB-1234 for Mr O'Brien, version 2.3.1, 20mg, $5",
    'It\'s a backslash \\ and "quotes" in C:\\path\\file',
    "call 555-123-4567 or 555 987 6543",
    "Will will do it. Ask Will about IT at The Who concert",
    "🚆🚆🚆 ★ train emoji 👍🏽",
    "running runner runs ran; happily happiness happier",
    "a " * 400 + "needle",
    "x" * 3_000,
    "nul \x00 inside, and \x01 too",
    "İstanbul straße ΑΘΉΝΑ ﬁne ½, 1,299.50 or 1450",
    *(f"note {n} about {WORDS[n % 5]} and {WORDS[n * 7 % 6]}" for n in range(60)),
]
QUERIES = [
    *("train", "when is the train to lyon?", "creme BRULEE", "東京は", "ab-1234", "o'brien's"),
    *("backslash path file", "555-123-4567", "who is Will", "will", "the", "what is it"),
    *("🚆", "★ emoji", "happy run", "needle", "x" * 3_000, "nul inside", "istanbul strasse"),
    *("tea with jam and bread for ana, late", "note 7", "", "'", "\\", "walrus", "it's late"),
    *("1299", "1 299,50", "paid 1,450 or 1299.5"),
]


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer) -> Iterator[tuple[Store, Store]]:
    """The same in SQLite and PostgreSQL, with some of it forgotten and changed."""
    with opened(":memory:") as one, opened(postgres.url("pair")) as other:
        for store in (one, other):
            half = len(TEXTS) // 2
            sources = [make_source(text, metadata={"n": n}) for n, text in enumerate(TEXTS)]
            written = store.add(sources[:half], ANA)
            store.add(sources[half:], BEN)
            store.add(sources[:9], BEN)
            store.forget(written[1].chunk_ids, terms_of(written[1], sources[1]))
            store.replace_source(
                written[3].source_id, make_source("東京"), terms_of(written[3], sources[3])
            )
        yield one, other


@pytest.mark.parametrize(
    "selection",
    [
        EVERYTHING,
        Selection(ANA),
        Selection(BEN),
        Selection(where={"n": {"gt": 4}}),
        Selection(BEN, where={"n": {"lt": 30}}),
    ],
)
def test_the_same_is_found_in_the_same_order(
    pair: tuple[Store, Store], selection: Selection
) -> None:
    found = 0
    for query in QUERIES:
        one, other = (store.search_terms(query, 12, selection) for store in pair)
        assert list(other.ids) == list(one.ids), query
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-6)
        assert other.coverage == pytest.approx(one.coverage)
        found += len(one.ids)
        ids = one.ids.tolist()[:5] + [1, 2]
        told, also = (store.word_matches(query, ids, selection.scope) for store in pair)
        assert also.found == pytest.approx(told.found)
        assert (also.total, also.chunks) == (pytest.approx(told.total), told.chunks)
    assert found > 20
    near, also_near = (
        store.search_vectors(make_embedding("note 7"), 12, selection) for store in pair
    )
    assert list(also_near.ids) == list(near.ids)
    np.testing.assert_array_equal(also_near.scores, near.scores)


@pytest.mark.parametrize("selection", [EVERYTHING, Selection(BEN)])
def test_the_same_is_found_in_large_stores(
    pair: tuple[Store, Store], selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = pair[0].search_terms("note about late tea", 12, selection)
    monkeypatch.setattr(terms, "MAX_LEADING", 4)
    monkeypatch.setattr(terms, "MAX_COUNTED", 3)
    for query in QUERIES:
        one, other = (store.search_terms(query, 3, selection) for store in pair)
        assert list(other.ids) == list(one.ids), query
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-6)
    fewer = pair[0].search_terms("note about late tea", 12, selection)
    assert list(fewer.ids) != list(exact.ids)


def test_the_same_stands_around_it(pair: tuple[Store, Store]) -> None:
    one, other = pair
    ids = one.ids().tolist()
    assert other.ids().tolist() == ids
    some = ids[::7]
    assert other.neighbors(some, reach=3) == one.neighbors(some, reach=3)
    assert other.neighbors(ids, reach=2) == one.neighbors(ids, reach=2)
    assert other.episodes(some) == one.episodes(some)
    assert other.chunks(some)[0].latents == one.chunks(some)[0].latents
    for id in (1, 4):
        assert other.sources([id])[0].chunk_ids == one.sources([id])[0].chunk_ids
    assert other.sums(Selection(ANA)) == one.sums(Selection(ANA))
    stats, also = one.stats(), other.stats()
    assert replace(also, file_bytes=0) == replace(stats, file_bytes=0)
    assert type(also.tokens) is int


def test_the_words_that_were_indexed_can_be_compared(pair: tuple[Store, Store]) -> None:
    one, other = pair
    texts = {id: text for id, text in zip(one.ids().tolist(), TEXTS, strict=False)}
    told = other.indexed_words()
    assert told.strays() == set()
    assert told.differing(texts) == one.indexed_words().differing(texts)
    assert told.differing(texts)  # for ids and texts do not go together in all of it


def _without_nul(value: Any) -> bool:
    return "\\x00" not in repr(value)


@settings(max_examples=4)
@given(
    st.lists(ROWS.filter(_without_nul), min_size=1, max_size=8),
    st.lists(FILTERS.filter(_without_nul), min_size=12, max_size=12),
)
def test_a_filter_selects_the_same(
    postgres: PostgresServer, rows: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    url = postgres.url("filters")
    schema = url.rpartition("schema=")[2]
    with postgres.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    with opened(":memory:") as one, opened(url) as other:
        for store in (one, other):
            for n, row in enumerate(rows):
                given = ("role", "name", "title", "uri")
                fields = {name: row[name] for name in given if name in row}
                new = make_source(f"text {n}", metadata=row["metadata"], **fields)
                store.add([new], ANA)
        for where in filters:
            for scope in (Scope(), ANA):  # by value, and row by row
                selection = Selection(scope, where=where)
                assert list(other.ids(selection)) == list(one.ids(selection)), where


@given(st.lists(st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53)), min_size=2))
def test_numbers_sort_as_bytes_do(numbers: list[float]) -> None:
    packed = [pack(number) or b"" for number in numbers]
    assert [unpack(one) for one in sorted(packed)] == sorted(numbers)
    assert [(a < b, a == b) for a in packed for b in packed] == [
        (a < b, a == b) for a in numbers for b in numbers
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_texts_sort_as_bytes_do(texts: list[str]) -> None:
    assert [unpack(one) for one in sorted(pack(text) or b"" for text in texts)] == sorted(texts)


def test_a_story_is_the_same(postgres: PostgresServer, tmp_path: Path) -> None:
    """One call after the other, and all that they return."""
    now = [NOON]
    told = []
    for number, location in enumerate((tmp_path / "files", postgres.url(tmp_path))):
        now[0] = NOON
        with opened(location, clock=lambda: now[0]) as store:
            told.append(story(store, now, tmp_path / f"{number}.amem"))
    for one, other in zip(*told, strict=True):
        assert other == one


def story(store: Store, now: list[datetime], archive: Path) -> list[Any]:
    said = [make_source(f"turn {n % 5}", identity="sequence") for n in range(12)]
    long = make_source("a long document " * 20, kind="document", title="long")
    told: list[Any] = []

    def tell(*values: Any) -> None:
        told.extend(values)
        held = store.chunks(store.ids().tolist())
        told.append([asdict(replace(one, embedding=None)) for one in held])

    store.keep_audit(True)
    talk = Scope("ana", session_id="s")
    first = store.add(said[:7], talk)
    tell(first, store.add(said, talk), store.add(said[4:6], talk))  # a transcript that goes on
    (document,) = store.add([long], ANA)
    second = document.chunk_ids[1]
    tell(store.forget([second], {second: long.chunks[1].terms}).ids, store.sources([13]))
    tell(store.add([long], ANA), store.forgotten_places())
    gone = store.add([make_source("forget me", identity="sequence")], talk)[0]
    tell(store.forget(gone.chunk_ids, {gone.chunk_ids[0]: "forget me"}).ids)
    tell(store.add([said[11], make_source("forget me", identity="sequence")], talk))
    tell(list(store.check()))
    # Ids of the caller's, and what expires.
    soon = NOON + timedelta(hours=1)
    named = make_source("named", external_id="x", expires_at=soon, metadata={"a": [1]})
    (own,) = store.add([named], BEN)
    tell(own, store.source_named("x"), store.add([named], BEN))
    changed = make_source("named anew", external_id="x", expires_at=soon)
    with pytest.raises(ChangedError):
        store.add([changed], BEN)
    (put,) = store.add([changed], BEN, {own.chunk_ids[0]: "named"})
    tell(put, store.became(own.chunk_ids[0]))
    now[0] = NOON + timedelta(hours=2)
    expired = Selection(expired=True)
    tell(store.ids().tolist(), store.chosen(expired))
    tell(store.forget(expired, {put.chunk_ids[0]: "named anew"}).ids)
    # What supersedes what.
    ids = [one.source_id for one in store.add([make_source(f"job {n}") for n in range(4)], BEN)]
    store.supersede(ids[0], ids[1])
    tell(store.propose([(ids[1], ids[2], 0.5)]), store.link_candidates(), store.chain(ids[1]))
    tell(store.snapshot(lambda one: one.linked(store_ids(store))))
    store.supersede(ids[1], ids[3])
    middle = store.sources([ids[1]])[0].chunk_ids
    tell(store.forget(middle, {middle[0]: "job 1"}).ids, store.chain(ids[0]))
    tell(list(store.check()))
    # Listing.
    pages = [Page(limit=3), Page(limit=3, newest_first=True), Page(limit=9, after=3)]
    tell(*([[one.id for one in part] for part in store.iterate(page=page)] for page in pages))
    tell([(one.scope, one.sources, one.chunks) for one in store.scopes()])
    tell(store.update_source(ids[2], title="t", created_at=NOON + timedelta(days=3)))
    told.append([(line.op, line.source, line.ids) for line in store.audit_lines()])
    # Damage that only decoding finds.
    problem = Problem(middle[0] + 1, "its text is another", "chunk")
    tell(store.repair([problem, Problem(None, "log", "log"), Problem(None, "notes", "notes")]))
    left = {id: None for id in store.ids().tolist()}
    tell(store.quarantined(), store.terms_stale, store.rebuild_terms(left.items()).tolist())
    tell(list(store.check()))
    # Another model, for which a chunk is two.
    target = ModelBinding("new", EMBEDDING_DIMS, "latents")
    every = store.ids().tolist()
    staged = [StagedChunk(id, make_embedding(f"new {id}")) for id in every[1:]]
    parts = tuple(piece(text, start) for text, start in (("tur", 0), ("n 0", 3)))
    store.stage(target, [*staged, StagedChunk(every[0], parts[0].embedding, parts)])
    tell(store.unstaged(target).tolist(), store.switch(target).split, store.model)
    tell(list(store.check()))
    exported = store.export(archive, Selection(BEN), latents="latents", embedder="e")
    told.append((exported.sources, exported.chunks))
    return told


def store_ids(store: Store) -> list[int]:
    ids: list[int] = store.ids().tolist()
    return ids


def piece(text: str, start: int) -> NewChunk:
    return NewChunk(
        start=start,
        end=start + len(text),
        tokens=len(text),
        latents=make_latents(text, len(text)),
        positions=1,
        embedding=make_embedding(text),
        patch=b"",
        fidelity=1.0,
        text_hash=hashlib.sha256(text.encode()).digest(),
        terms=text,
    )
