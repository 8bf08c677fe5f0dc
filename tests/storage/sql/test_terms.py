"""Lexical search: any string is a query, phrases, ranking, and stale terms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmem_storage import words
from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.lexical import terms
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        store.add([make_source(text) for text in ("the quick fox", "naïve café", "東京")], Scope())
        yield store


ANYTHING = st.text(st.characters(codec=None))


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


@given(st.text(st.characters(categories=["L", "N", "P", "Z", "Cc"]), min_size=1, max_size=40))
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        source = make_source(text)
        (written,) = store.add([source], Scope())
        # Letters younger than SQLite's tables are no letters to it.
        if words.phrases(text):
            assert list(store.search_terms(text, 1).ids) == [written.chunk_ids[0]]
        store.search_terms(text, 1)
        store.forget(written.chunk_ids, terms_of(written, source))
        assert list(store.check()) == []


@pytest.mark.parametrize(
    ("query", "phrases"),
    [
        ("When is my train?", ["train"]),
        ("who is she", ["who", "is", "she"]),
        ("Train train TRAIN", ["train"]),
        ("snake_case_name", ["snake case name", "snake", "case", "name"]),
        ("at 9:40", ["9 40", "9", "40"]),
        ("ticket AB-1234?", ["ab 1234", "ticket", "ab", "1234"]),
        ("v2.3.1.", ["v2 3 1", "v2", "3", "1"]),
        ("1,200 km,20 h", ["1 200", "1", "200", "km", "20", "h"]),
        ("(ana@example.com)", ["ana example com", "ana", "example", "com"]),
        ("O\u2019Brien's", ["o brien", "o", "brien"]),
        ("and/or", ["and", "or"]),
        ("-".join("abcdefghi"), list("bcdefgh")),
        ("C++", ["c++"]),
        ("What's Ana's plan?", ["ana", "plan"]),
        ("Why didn't she say she'd come", ["say", "come"]),
        ("don't", ["don", "t"]),
        ("cafe\u0301s", ["cafes"]),
        ("東京駅へ", ["東 京", "京 駅", "駅 へ"]),
        ("駅", ["駅"]),
        ("GPT東京4", ["gpt", "東 京", "4"]),
        ("...", []),
        ("", []),
    ],
)
def test_phrases(query: str, phrases: list[str]) -> None:
    assert words.phrases(query) == phrases


def test_a_query_as_long_as_a_book_is_searched_by_its_rarest_words(store: Store) -> None:
    query = " ".join(f"word{number}" for number in range(8_000))
    assert len(store.search_terms(query, 3).ids) == 0
    for long in (f"{query} fox", f"fox {query}", f"{query} 東京 {query}"):
        assert len(store.search_terms(long, 3).ids) == 1


ID_PART = st.text("bcdfgh0123456789", min_size=1, max_size=6)


@given(st.lists(ID_PART, min_size=2, max_size=5, unique=True), st.sampled_from("-._/:@'+#"))
@example(["ab", "1234"], "-")
@example(["v2", "3", "1"], ".")
@example(["555", "0199"], "-")
@example(["ana", "example", "com"], "@")
@example(["O", "Brien"], "'")
def test_what_has_an_id_whole_comes_before_what_has_its_parts(parts: list[str], mark: str) -> None:
    whole = mark.join(parts)
    loose = " and then ".join(reversed(parts))
    often = " so ".join([*reversed(parts)] * 2)
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        texts = [loose, often, f"there is {whole} in it, somewhere in the text", "nothing of it"]
        ids = [one.chunk_ids[0] for one in store.add([make_source(t) for t in texts], Scope())]
        assert store.search_terms(f"What about {whole}?", 4).ids[0] == ids[2]


def test_what_has_more_of_the_query_comes_before_what_is_short() -> None:
    texts = ["Lyon!", "the slow train that goes by Dijon and Lyon was late today"]
    texts += [f"{word} {number}" for number in range(3) for word in ("train", "late")]
    texts += [f"nothing {number}" for number in range(40)]  # so that these words are rare
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        ids = [one.chunk_ids[0] for one in store.add([make_source(t) for t in texts], Scope())]
        found = store.search_terms("Why was the train to Lyon late?", 2)
        assert list(found.ids) == [ids[1], ids[0]]


def test_equals_are_in_the_order_of_ids() -> None:
    texts = [f"a train to Lyon, seat 23A, at 9:40, {word}" for word in "uvwxyz"] * 3
    scopes = [Scope(str(number)) for number in range(3)]
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        for scope in scopes:
            store.add([make_source(text) for text in texts], scope)
        found = store.search_terms("seat of the train to Lyon at 9:40", 100)
        assert list(found.ids) == sorted(found.ids)
        assert len(set(found.scores)) == 1


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
        ("she writes C++", "C++?"),
        ("Mr O'Brien called", "O\u2019Brien"),
        ("call 555-0199", "0199"),
        ("it didn't rain", "didn't"),
    ],
)
def test_found_by(text: str, query: str) -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        (written, _) = store.add([make_source(text), make_source("xyz")], Scope())
        assert list(store.search_terms(query, 5).ids) == list(written.chunk_ids)


def test_of_what_others_wrote_only_the_average_length_counts() -> None:
    """How rare a word is depends on the scope alone; docs/privacy.md says what does not."""
    ana, bob = Scope("ana"), Scope("bob")
    own = ["the quick brown fox", "the lazy old dog", "the quick red hen"]
    found = []
    for others in ([], ["quick quick fox hen"] * 9, ["quick fox " + "and so on " * 50]):
        with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
            store.add([make_source(text) for text in own], ana)
            if others:
                store.add([make_source(f"{text} {n}") for n, text in enumerate(others)], bob)
            ranked = store.search_terms("quick fox", 3, Selection(ana))
            found.append(dict(zip(ranked.ids.tolist(), ranked.scores.tolist(), strict=True)))
    alone, alike, longer = found
    assert list(alone) == list(alike) == list(longer) == [1, 3]
    assert alone == pytest.approx(alike, rel=0.1)
    assert alone != pytest.approx(longer, rel=0.1)


def test_terms_of_what_is_gone_find_nothing_before_they_are_rebuilt() -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        gone, kept = (
            one.chunk_ids[0]
            for one in store.add([make_source("a train"), make_source("the train")], Scope())
        )
        assert list(store.search_terms("train", 5).ids) == [gone, kept]
        assert store.forget([gone], {}).terms_stale
        assert list(store.search_terms("train", 5).ids) == [kept]


def test_the_rarest_words_lead_where_too_many_chunks_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They alone find chunks; of those found, each has the score that it would have had."""
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        texts = [f"common {'rare' if n % 20 == 0 else 'word'} {n}" for n in range(200)]
        ids = [one.chunk_ids[0] for one in store.add([*map(make_source, texts)], Scope())]
        full = store.search_terms("common rare 40", 300)
        assert set(full.ids.tolist()) == set(ids)
        monkeypatch.setattr(terms, "MAX_LEADING", 15)
        led = store.search_terms("common rare 40", 300)
        assert set(led.ids.tolist()) == set(ids[::20])
        known = dict(zip(full.ids.tolist(), full.scores.tolist(), strict=True))
        assert [known[id] for id in led.ids.tolist()] == pytest.approx(led.scores.tolist())
        # What is common in the store may be rare in what is asked for, and leads there.
        some = Selection(ids=tuple(ids[1:11]))
        assert set(store.search_terms("common rare 40", 300, some).ids.tolist()) == set(some.ids)
        # A single word leads, however many have it.
        assert len(store.search_terms("common", 300).ids) == 200
