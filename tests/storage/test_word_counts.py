"""What is known of the words of a store from earlier searches is what a fresh count finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agentmem_storage.records import NewSource, Scope
from agentmem_storage.sql.lexical.phrases import Counted
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.reading import word_counts
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

WORDS = ("tea", "coffee", "milk")
ANA, BEN = Scope("ana"), Scope("ben")


@pytest.fixture(autouse=True)
def _every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_LEAST_ROWS", 1)


def open_store(location: Path | str) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS)


def counts(store: Store) -> dict[str, int]:
    found = store.snapshot(lambda one: one._counted(WORDS, None, None))
    return {one.phrase: one.everywhere for one in found}


def known(store: Store) -> dict[str, Counted]:
    seen = store._word_counts._seen
    assert seen is not None
    return dict(seen.words)


def add(store: Store, *texts: str, scope: Scope = ANA) -> list[int]:
    new: list[NewSource] = [make_source(text) for text in texts]
    return [written.chunk_ids[0] for written in store.add(new, scope)]


def test_what_is_added_is_counted_on(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        first = add(store, "tea one", "tea two", "coffee one")
        assert counts(store) == {"tea": 2, "coffee": 1, "milk": 0}
        assert known(store) == {"tea": Counted(2, first[-1]), "coffee": Counted(1, first[-1])}
        words = store._word_counts._seen.words  # type: ignore[union-attr]
        second = add(store, "tea three", scope=BEN)
        third = add(other, "coffee two", "milk")
        assert counts(store) == {"tea": 3, "coffee": 2, "milk": 1}
        assert second < third
        # Not begun anew.
        assert store._word_counts._seen.words is words  # type: ignore[union-attr]
        assert known(store)["tea"] == Counted(3, third[-1])


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_forgotten_is_not_counted(tmp_path: Path, elsewhere: bool) -> None:
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        ids = add(store, "tea one", "tea two", "coffee one", "milk")
        counts(store)
        (other if elsewhere else store).forget(ids[1:2], {ids[1]: "tea two"})
        add(other, "milk two")
        assert counts(store) == {"tea": 1, "coffee": 1, "milk": 2}


def test_a_part_of_the_store_is_counted_by_itself(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        add(store, "tea one", "milk one")
        add(store, "tea two", scope=BEN)
        for _ in range(2):
            found = store.search_terms("tea", 5)
            assert found.ids.size == 2
            counted = store.snapshot(
                lambda one: one._counted(WORDS, one._within(BEN), one._within(BEN))
            )
            assert [tuple(one) for one in counted] == [
                ("tea", 2, 1, 1),
                ("coffee", 0, 0, 0),
                ("milk", 1, 0, 0),
            ]


def test_a_state_that_has_passed_knows_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        add(store, "tea one", "tea two")
        with store._database.read() as connection:
            at = store._word_counts.at
            now = store.snapshot(lambda one: one._state.newest)
            assert at(connection, now, 2) is not None
            assert at(connection, Mark(now.seq - 1, 7), 1) is None


def test_an_index_that_was_made_again_is_counted_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        ids = add(store, "tea one", "tea two")
        assert counts(store)["tea"] == 2
        store.rebuild_terms({ids[0]: "tea one"})
        assert counts(store)["tea"] == 1
        store.rebuild_terms(dict(zip(ids, ("tea one", "tea two"), strict=True)))
        assert counts(store)["tea"] == 2


def test_there_is_an_end_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_MOST_WORDS", 2)
    with open_store(tmp_path) as store:
        add(store, "tea one", "coffee", "milk")
        for _ in range(2):
            assert counts(store) == {"tea": 1, "coffee": 1, "milk": 1}
            assert len(known(store)) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    held: dict[int, str] = {}
    with open_store(tmp_path) as one, open_store(tmp_path) as two:
        for number in range(40):
            store = chance.choice((one, two))
            if held and chance.random() < 0.2:
                gone = chance.sample(sorted(held), min(len(held), 2))
                store.forget(gone, {id: held.pop(id) for id in gone})
            elif chance.random() < 0.7:
                words = chance.sample(WORDS, chance.randint(1, 3))
                text = " ".join((*words, str(number)))
                held[add(store, text, scope=chance.choice((ANA, BEN)))[0]] = text
            expected = {word: sum(word in text for text in held.values()) for word in WORDS}
            assert counts(chance.choice((one, two))) == expected
