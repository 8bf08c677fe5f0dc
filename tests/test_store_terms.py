from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmem_storage.records import Scope
from agentmem_storage.sql import terms
from agentmem_storage.store import Store
from agentmem_storage.testing import KEY_DIMS, MODEL, make_source, terms_of


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store.open(":memory:", model=MODEL, key_dims=KEY_DIMS) as store:
        store.add([make_source(text) for text in ("the quick fox", "naïve café", "東京")], Scope())
        yield store


ANYTHING = st.text(st.characters(codec=None))


@settings(deadline=None)
@given(ANYTHING)
@example('"')
@example('a" OR "b')
@example("NEAR(a b, 2)")
@example("a AND NOT b")
@example("terms : x")
@example("{terms} : x")
@example("^a + b*")
@example("\x00a\x00")
@example("\ud800a")
@example("_")
@example("ﬃ İ ß ǅ")
@example("\U0001d400 ⅷ ½ ²")
def test_any_string_is_a_query(store: Store, query: str) -> None:
    found = store.search_terms(query, 3)
    assert len(found.ids) == len(found.scores) <= 3
    assert (found.scores > 0).all()


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(categories=["L", "N", "P", "Z", "Cc"]), min_size=1, max_size=40))
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    with Store.open(":memory:", model=MODEL, key_dims=KEY_DIMS) as store:
        source = make_source(text)
        (written,) = store.add([source], Scope())
        expression = terms.match_expression(text)
        # Letters younger than SQLite's tables are no letters to it.
        if expression is not None and text.isascii():
            assert list(store.search_terms(text, 1).ids) == [written.chunk_ids[0]]
        store.search_terms(text, 1)
        store.forget(written.chunk_ids, terms_of(written, source))
        assert list(store.check()) == []


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("When is my train?", '"train"'),
        ("who is she", '"who" OR "is" OR "she"'),
        ("Train train TRAIN", '"train"'),
        ("snake_case_name", '"snake" OR "case" OR "name"'),
        ("9:40", '"9" OR "40"'),
        ("don't", '"don" OR "t"'),
        ("cafe\u0301s", '"cafés"'),
        ("東京駅へ", '"東 京" OR "京 駅" OR "駅 へ"'),
        ("駅", '"駅"'),
        ("GPT東京4", '"gpt" OR "東 京" OR "4"'),
        ("...", None),
        ("", None),
    ],
)
def test_expressions(query: str, expression: str | None) -> None:
    assert terms.match_expression(query) == expression


def test_a_query_as_long_as_a_book_is_cut(store: Store) -> None:
    query = " ".join(f"word{number}" for number in range(100_000))
    expression = terms.match_expression(query)
    assert expression is not None
    assert expression.count(" OR ") == terms.MAX_WORDS - 1
    assert len(store.search_terms(query, 3).ids) == 0
    assert len(store.search_terms("東" * 100_000, 3).ids) == 0


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("we booked the trains", "train booking"),
        ("Ça été décidé", "decide"),
        ("私は東京に住んでいます", "東京はどこ"),
        ("我的火车九点四十开", "火车几点"),
        ("서울에 살아요", "서울에"),
        ("Ο Σωκράτης", "ΣΩΚΡΆΤΗΣ"),
        ("flight BA-2490", "ba2490 BA 2490"),
        ("mail ana@example.org", "ana@example.org"),
        ("before\x00after", "after"),
    ],
)
def test_found_by(text: str, query: str) -> None:
    with Store.open(":memory:", model=MODEL, key_dims=KEY_DIMS) as store:
        (written, _) = store.add([make_source(text), make_source("xyz")], Scope())
        assert list(store.search_terms(query, 5).ids) == list(written.chunk_ids)
