"""Which words of a query some chunks contain, weighed by their rarity in a scope."""

from __future__ import annotations

import math

import pytest

from agentmem import Memory
from agentmem_storage.records import Scope

EVERYONE, ANA = Scope(), Scope(user_id="ana")


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.add(["red apple", "green apple", "a green pear of the tree"], user_id="ana")
    memory.add(["red tomato", "red tomato soup"], user_id="bob")
    return memory


def weight(chunks: int, having: int) -> float:
    return math.log1p((chunks - having + 0.5) / (having + 0.5))


def test_weights_and_what_each_chunk_contains(filled: Memory) -> None:
    told = filled._store.word_matches("the red apples", [1, 2, 3, 99], ANA)
    red, apple = weight(3, 1), weight(3, 2)
    assert told.total == pytest.approx(red + apple)
    assert told.greatest == pytest.approx(weight(3, 0))
    assert told.chunks == 3
    assert told.found == pytest.approx({1: red + apple, 2: apple, 3: 0, 99: 0})


def test_rarity_is_that_of_the_scope(filled: Memory) -> None:
    of_all = filled._store.word_matches("red", [1], EVERYONE)
    assert of_all.found == pytest.approx({1: weight(5, 3)})
    of_ana = filled._store.word_matches("red", [1], ANA)
    assert of_ana.found == pytest.approx({1: weight(3, 1)})


def test_a_word_that_no_chunk_contains_weighs_most(filled: Memory) -> None:
    told = filled._store.word_matches("walrus apple", [1], ANA)
    assert told.total == pytest.approx(weight(3, 0) + weight(3, 2))


@pytest.mark.parametrize("query", ["", "?", "the", "what is it", 'AND "NEAR(', "\x00"])
def test_stop_words_and_signs_weigh_nothing(filled: Memory, query: str) -> None:
    told = filled._store.word_matches(query, [1, 3], ANA)
    assert told.found == {1: 0, 3: 0}
    assert told.total == 0 or "NEAR" in query


def test_no_chunks_and_an_empty_scope(filled: Memory) -> None:
    assert filled._store.word_matches("red", [], ANA).found == {}
    nobody = filled._store.word_matches("red", [1], Scope(user_id="nobody"))
    assert (nobody.chunks, nobody.greatest) == (0, pytest.approx(weight(0, 0)))


def test_many_chunks_are_looked_up_as_few_are(filled: Memory) -> None:
    few = filled._store.word_matches("red apple", [1, 2, 3], ANA)
    many = filled._store.word_matches("red apple", range(1, 100), ANA)
    assert {id: many.found[id] for id in (1, 2, 3)} == few.found
    assert set(many.found) == set(range(1, 100))


def test_forgotten_chunks_contain_nothing(filled: Memory) -> None:
    filled.forget([1], user_id="ana")
    told = filled._store.word_matches("red apple", [1, 2], ANA)
    assert told.found[1] == 0
    assert told.chunks == 2
