"""Words that look alike and are other characters: a query with one spelling did not find the other.

An apostrophe is a letter in Ukrainian, Uzbek and Hawaiian, and a mark on most keyboards; Malayalam
and Bengali have letters that used to be written as several.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.testing import tiny_model
from agentmem_storage.words.lexical import index_text, parse
from tests.support.cli import Cli

SAME = [
    ["м\u02bcята", "м'ята", "м\u2019ята", "м\u2018ята", "м`ята"],  # Ukrainian
    ["O\u02bbzbekiston", "O'zbekiston", "O\u2018zbekiston", "O\u2019zbekiston"],  # Uzbek
    ["O\u02bbahu", "O'ahu", "O\u2018ahu"],  # Hawaiian
    ["O'Brien", "O\u2019Brien", "O\u02bcBrien"],
    ["അവൻ", "അവന്\u200d", "അവന്"],  # Malayalam
    ["അവൾ", "അവള്\u200d"],
    ["വർഷം", "വര്\u200dഷം"],
    ["എന്റെ", "എൻ്റെ", "എൻറെ"],
    ["উৎসব", "উত্\u200dসব"],  # Bengali
    ["ஶ்ரீ", "ஸ்ரீ"],  # Tamil
    ["خانۀ", "خانهٔ", "خانه"],  # Persian
]
PAIRS = [(one, other) for group in SAME for one in group for other in group if one != other]


@pytest.mark.parametrize("group", SAME, ids=lambda group: ascii(group[0]))
def test_each_spelling_finds_the_others(group: list[str]) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        memory.add("Nothing of the kind.")
        for word in group:
            memory.add(f"Here is {word} once.")
        for query in group:
            for form in ("NFC", "NFD"):
                found = memory.recall(unicodedata.normalize(form, query), mode="lexical", k=9)
                assert {hit.text for hit in found} == {f"Here is {word} once." for word in group}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Oahu is far.", "O\u02bbahu"),
        ("Mr Obrien called.", "O'Brien"),
        ("м ята", "м\u02bcята"),
        ("O\u02bbahu is far.", "oahu"),
        ("Mrs. O'Neill called.", "oneill"),
        ("У неї м'ята.", "мята"),
        ("Зв\u2019язок є.", "звязок"),
        ("Комп\u02bcютер новий.", "компютер"),
    ],
)
def test_an_apostrophe_may_be_left_out(text: str, query: str) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        memory.add([text, "Nothing of the kind."])
        assert [hit.text for hit in memory.recall(query, mode="lexical")] == [text]


@pytest.mark.parametrize(
    "query",
    [
        "Where does Ana live?",
        "Ana's key",
        "don't",
        "rock 'n' roll",
        "der Hund",
        "東京",
        "വീട്",
        "12",
    ],
)
def test_other_words_have_no_other_spelling(query: str) -> None:
    assert not parse(query).variants


def test_those_that_only_look_alike_stay_two() -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        memory.add(["കല്ല് ഇവിടെ", "കൽപ്പന ഇവിടെ", "mʼtens"])
        assert len(memory.recall("കല്ല്", mode="lexical")) == 1
        assert len(memory.recall("tens", mode="lexical")) == 0


def test_the_word_as_written_weighs_as_much_as_ever(memory: Memory) -> None:
    memory.add(["O\u02bcBrien has the key.", "Tom has the key."])
    best = memory.recall("Does O'Brien have the key?")[0]
    assert best.text == "O\u02bcBrien has the key."
    assert best.relevance > memory.recall("Does Anna have the key?")[0].relevance


def test_the_same_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "м\u02bcята росте тут")
    assert "росте" in cli.ok("recall", "м'ята", "--mode", "lexical")


@given(st.text("абмят'\u2019\u02bb\u02bc അനന്ൻറൾ്ളത্ৎশরீஶஸெهۀa1", max_size=24))
def test_variants_are_phrases_of_the_index_and_stand_for_something(query: str) -> None:
    known = parse(query)
    for variant, stands_for in known.variants.items():
        assert variant not in known.certain
        assert stands_for
        assert set(stands_for) <= set(known.certain)
        assert variant == " ".join(variant.split())
        assert "\0" not in variant
        assert all(index_text(word) for word in variant.split())
