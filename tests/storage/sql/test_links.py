"""Links between sources: stated and found, without circles, and gone with their sources."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_storage.errors import ChangedError, InputError, UnknownIdError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of

ANA = Scope("ana")


def open_store(location: Path | str) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact")


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store(":memory:") as store:
        yield store


def add(store: Store, count: int, scope: Scope = ANA) -> list[int]:
    new = [make_source(f"{scope.user_id} {number}") for number in range(count)]
    return [one.source_id for one in store.add(new, scope)]


def forget(store: Store, source_ids: Sequence[int]) -> None:
    chunks = [id for one in store.sources(source_ids) for id in one.chunk_ids]
    store.forget(chunks, {id: terms(store, id) for id in chunks})


def terms(store: Store, chunk_id: int) -> str:
    (chunk,) = store.chunks([chunk_id])
    (source,) = store.sources([chunk.source_id])
    return f"{source.scope.user_id} {chunk.source_id - 1}"


def pairs(store: Store, source_id: int) -> set[tuple[int, int]]:
    chunk_ids = store.sources([source_id])[0].chunk_ids
    return {(one.old, one.new) for one in store.snapshot(lambda s: s.linked(chunk_ids)).links}


def test_a_chain_has_an_order_from_any_of_its_sources(store: Store) -> None:
    a, b, c, d = add(store, 4)
    store.supersede(b, a)
    store.supersede(a, c)
    store.supersede(a, c)
    for one in (a, b, c):
        assert store.chain(one) == [b, a, c]
    assert store.chain(d) == [d]
    assert pairs(store, b) == {(b, a), (a, c)}
    assert pairs(store, d) == set()
    with pytest.raises(UnknownIdError):
        store.chain(99)


def test_what_makes_no_sense_is_refused(store: Store) -> None:
    a, b, c = add(store, 3)
    (other,) = add(store, 1, Scope("bob"))
    store.supersede(a, b)
    store.supersede(b, c)
    with pytest.raises(InputError, match="itself"):
        store.supersede(a, a)
    with pytest.raises(InputError, match="different users"):
        store.supersede(a, other)
    with pytest.raises(InputError, match=f"source {a} cannot supersede source {c}"):
        store.supersede(c, a)
    with pytest.raises(UnknownIdError, match="99"):
        store.supersede(a, 99)
    assert store.chain(a) == [a, b, c]


def test_sessions_of_one_user_may_be_joined(store: Store) -> None:
    (a,), (b,) = add(store, 1, Scope("ana", None, "s1")), add(store, 1, Scope("ana", None, "s2"))
    store.supersede(a, b)
    assert store.chain(b) == [a, b]


def test_a_link_can_be_taken_back(store: Store) -> None:
    a, b = add(store, 2)
    assert not store.separate(a, b)
    store.supersede(a, b)
    assert not store.separate(b, a)
    assert store.separate(a, b)
    assert store.chain(a) == [a]


def test_candidates_are_no_statements(store: Store) -> None:
    a, b, c = add(store, 3)
    (other,) = add(store, 1, Scope("bob"))
    store.supersede(a, b)
    found = [(a, b, 0.9), (b, a, 0.9), (b, c, 0.5), (a, c, 0.7), (a, other, 0.9), (a, 99, 0.9)]
    assert [(one.old, one.new) for one in store.propose(found)] == [(b, c), (a, c)]
    assert [one.score for one in store.link_candidates()] == [0.7, 0.5]
    assert store.link_candidates(Scope("bob")) == []
    assert store.chain(a) == [a, b]
    # What somebody states is worth more than what was found.
    store.supersede(c, a)
    assert store.link_candidates() == []
    assert store.chain(a) == [c, a, b]
    assert store.propose([]) == []


def test_a_candidate_is_confirmed_or_dismissed(store: Store) -> None:
    a, b, c = add(store, 3)
    store.propose([(a, b, 0.8), (b, c, 0.8)])
    store.supersede(a, b)
    assert store.separate(b, c)
    assert store.link_candidates() == []
    assert store.chain(c) == [c]
    assert store.chain(a) == [a, b]


def test_a_new_text_has_no_candidates(store: Store) -> None:
    a, b, c = add(store, 3)
    store.propose([(a, b, 0.8), (b, c, 0.8), (a, c, 0.8)])
    store.supersede(a, b)
    (chunk_id,) = store.sources([b])[0].chunk_ids
    store.replace_source(b, make_source("another"), {chunk_id: "ana 1"})
    assert [(one.old, one.new) for one in store.link_candidates()] == [(a, c)]
    assert store.chain(a) == [a, b]


class TestForgetting:
    def test_what_stood_between_leaves_the_order_of_the_others(self, store: Store) -> None:
        a, b, c, d = add(store, 4)
        for old, new in ((a, b), (b, c), (c, d)):
            store.supersede(old, new)
        forget(store, [b, c])
        assert pairs(store, a) == {(a, d)}
        assert list(store.check()) == []
        forget(store, [d])
        assert pairs(store, a) == set()

    def test_candidates_are_not_passed_on(self, store: Store) -> None:
        a, b, c = add(store, 3)
        store.propose([(a, b, 0.9), (b, c, 0.9)])
        forget(store, [b])
        assert pairs(store, a) == set()

    def test_a_part_of_a_source_keeps_its_links(self, store: Store) -> None:
        (a,) = add(store, 1)
        long = make_source("words " * 40)
        (written,) = store.add([long], ANA)
        store.supersede(a, written.source_id)
        store.forget(written.chunk_ids[:1], terms_of(written, long))
        assert store.chain(a) == [a, written.source_id]

    def test_no_row_is_left(self, tmp_path: Path) -> None:
        with open_store(tmp_path / "s") as store:
            ids = add(store, 4)
            store.supersede(ids[0], ids[1])
            store.propose([(ids[1], ids[2], 0.5)])
            forget(store, ids)
        with closing(sqlite3.connect(tmp_path / "s" / "memory.db")) as connection:
            assert connection.execute("SELECT * FROM links").fetchall() == []


@given(
    links=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()), max_size=12),
    gone=st.sets(st.integers(1, 6), max_size=5),
)
@settings(max_examples=40)
def test_there_are_no_circles_and_no_dangling_links(
    links: list[tuple[int, int, bool]], gone: set[int]
) -> None:
    """Of those that remain, one supersedes another if it did so before."""
    with open_store(":memory:") as store:
        ids = add(store, 6)
        stated: set[tuple[int, int]] = set()
        for old, new, statement in links:
            if statement:
                try:
                    store.supersede(old, new)
                    stated.add((old, new))
                except InputError:
                    assert old == new or (new, old) in closure(stated)
            elif old != new:
                store.propose([(old, new, 0.5)])
        forget(store, sorted(gone))
        assert list(store.check()) == []
        left = [id for id in ids if id not in gone]
        now = {pair for id in left for pair in pairs(store, id)}
        assert all(old not in gone and new not in gone for old, new in now)
        assert all((new, old) not in closure(now) for old, new in now)
        candidates = {(one.old, one.new) for one in store.link_candidates()}
        expected = {pair for pair in closure(stated) if not gone & set(pair)}
        assert closure(now - candidates) == expected


def closure(direct: set[tuple[int, int]]) -> set[tuple[int, int]]:
    found = set(direct)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


class TestAdding:
    def test_a_source_is_written_with_its_link(self, store: Store) -> None:
        (a,) = add(store, 1)
        (written,) = store.add([make_source("new")], ANA, supersedes=a)
        assert store.chain(a) == [a, written.source_id]

    @pytest.mark.parametrize("old", [99, 2])
    def test_nothing_is_written_where_it_cannot_be(self, store: Store, old: int) -> None:
        add(store, 1)
        add(store, 1, Scope("bob"))
        with pytest.raises((InputError, ChangedError)):
            store.add([make_source("new")], ANA, supersedes=old)
        assert store.count() == 2


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE links SET new_id = 1", "link 1 is not as it was written"),
        ("UPDATE links SET old_id = 'x'", "link 1 is not as it was written"),
        ("UPDATE links SET score = 0.5", "link 1 is not as it was written"),
        ("UPDATE links SET linked_at = NULL", None),
        ("UPDATE links SET sum = sum + 1", "link 1 is not as it was written"),
        ("DELETE FROM sources WHERE id = 2", "link 1 is of a source that is not there"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: str, what: str | None) -> None:
    with open_store(tmp_path / "s") as store:
        a, b, _ = add(store, 3)
        store.supersede(a, b)
    with closing(sqlite3.connect(tmp_path / "s" / "memory.db")) as connection, connection:
        if what is None:
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(damage)
            return
        connection.execute(damage)
    with open_store(tmp_path / "s") as store:
        assert what in [problem.what for problem in store.check()]
