""" "1299" did not find "1,299.00", nor any other writing of a number but its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import words
from agentmem_storage.records import Scope, Selection
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from tests.support.cli import Cli

WRITINGS = {
    "1299": [
        *("1299", "1,299", "1.299", "1 299", "1'299", "1\u2019299", "1\xa0299", "1\u202f299"),
        *("1_299", "1\u066c299", "1299.00", "1,299.00", "1299,00", "1.299,00", "1 299,00"),
        *("$1,299", "1299€", "1,299km", "١٢٩٩", "١٬٢٩٩", "１，２９９", "1,299元"),
    ],
    "1299.50": ["1299.50", "1,299.50", "1299,50", "1.299,50", "1 299,50", "1'299.50"],
    "129900": ["129900", "129,900", "1,29,900", "129.900", "129 900"],
    "1234567": ["1234567", "1,234,567", "1.234.567", "1 234 567", "12,34,567", "1'234'567.00"],
}
OTHERS = [
    *("299", "1", "1300", "12,990", "1,300.00", "299.00", "2,991", "900", "29,900", "129", "50"),
    *("1.2", "567", "234,567", "1,234", "299.50", "1 or 29 or 900", "567 of 234, 1"),
]


@pytest.mark.parametrize("number", WRITINGS)
def test_a_number_is_found_in_any_writing(number: str) -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        for text in WRITINGS[number]:
            scope = Scope(text)
            others = [make_source(f"She paid {other}, I think") for other in OTHERS]
            *_, right = store.add([*others, make_source(f"She paid {text}, I think")], scope)
            for written in WRITINGS[number]:
                query = written if len(written) % 2 else f"who paid {written} to whom"
                found = store.search_terms(query, 1, Selection(scope)).ids
                assert list(found) == list(right.chunk_ids), (text, query)


@pytest.mark.parametrize(
    ("query", "variants"),
    [
        ("1299", {"1 299": ("1299",)}),
        ("1,299", {"1299": ("1 299", "1", "299")}),
        *((query, {"1299": ("1 299", "1", "299")}) for query in ("1,299.00", "1 299,00", "1 299")),
        ("1299.0", {"1 299": ("1299",)}),
        ("1,299.50", {"1299": ("1 299", "1", "299"), "1299 50": ("1 299 50",)}),
        ("1299.50", {"1 299": ("1299",), "1 299 50": ("1299 50",)}),
        ("129900", {"129 900": ("129900",), "1 29 900": ("129900",)}),
        (
            "1,29,900",
            {"129900": ("1 29 900", "1", "29", "900"), "129 900": ("1 29 900", "1", "29", "900")},
        ),
        ("1299 or 1,299", {}),
        *((query, {}) for query in ("", "tea", "299", "0.299", "0299", "1,29", "1, 299")),
        *((query, {}) for query in ("1,299,00", "12 34 56", "1 299 20", "9:40", "1;299")),
        *((query, {}) for query in ("1234567890123456", "A1299")),
    ],
)
def test_other_writings_of_a_query(query: str, variants: dict[str, tuple[str, ...]]) -> None:
    assert words.parse(query).variants == variants


@given(
    st.integers(1_000, 10**15 - 1),
    st.sampled_from(["", ",", ".", " ", "'", "\u202f"]),
    st.sampled_from(["", ",", ".", " ", "'", "\u202f"]),
)
def test_any_number(number: int, one: str, other: str) -> None:
    text, query = (f"{number:,}".replace(",", mark) for mark in (one, other))
    certain, _, variants, _ = words.parse(query)
    index = f" {words.index_text(text)} "
    found = {phrase for phrase in certain if f" {phrase} " in index}
    for variant, stands_for in variants.items():
        if f" {variant} " in index:
            found |= set(stands_for)
    # Without its first or last groups, it may be the number of a telephone.
    parts = f" {query.replace(other, ' ')} " if other else f" {query} "
    assert found >= {phrase for phrase in certain if f" {phrase} " in parts}
    assert found


def test_a_version_keeps_its_zeros() -> None:
    for query in ("1.200.0", "version 10.100.00"):
        assert any(one.endswith(" 0") or one.endswith(" 00") for one in words.parse(query).certain)
    assert "1 200" in words.parse("1,200.0").certain
    assert "0" not in words.parse("1,200.0").certain


def test_a_table_is_searched_as_it_stands() -> None:
    assert len(words.parse(" ".join(f"{n},000 km" for n in range(1, 65))).variants) == 64
    assert words.parse(" ".join(f"{n},000 km" for n in range(1, 66))).variants == {}


@given(st.text("01239 .,'", max_size=60))
def test_of_any_digits(query: str) -> None:
    certain, possible, variants, _ = words.parse(query)
    assert not variants.keys() & {*certain, *possible}
    for variant, stands_for in variants.items():
        assert {*stands_for} <= {*certain}
        assert variant.replace(" ", "").isdecimal()
    assert len(variants) <= 2 * len(query)


def test_what_has_it_as_it_was_asked_for_comes_before_what_has_a_part(memory: Memory) -> None:
    memory.add(["The invoice of May was 1,299.00", "The invoice of June was 299 for 1 hour"])
    for query in ("1299", "invoice 1299", "1.299,00", "was the invoice 1 299?"):
        assert memory.recall(query, mode="lexical")[0].text == "The invoice of May was 1,299.00"


def test_it_is_as_relevant_in_any_writing(memory: Memory) -> None:
    ids = memory.add(["The rent is 1299", "The rent is 1,299.00", "The rent is 1299.00"]).ids
    for query in ("rent 1299", "rent 1,299"):
        told = memory._store.word_matches(query, ids, Scope())
        assert list(told.found.values()) == pytest.approx([told.total] * 3)
    rent = memory._store.word_matches("rent", ids, Scope()).total
    told = memory._store.word_matches("rent 1298", ids, Scope())
    assert list(told.found.values()) == pytest.approx([rent] * 3)


def test_the_stored_text_is_as_it_was(memory: Memory) -> None:
    texts = ["1.299,00 in Rome", "1,299.00 in Oslo", "1299 in Lyon"]
    memory.add(texts)
    assert [chunk.text for chunk in memory.list()] == texts
    memory.forget([2])
    found = memory.recall("1299", mode="lexical")
    assert {hit.text for hit in found} == {texts[0], texts[2]}
    assert memory.verify().ok


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "The rent is 1,299.00", "The rent was 1,199.00")
    (hit,) = cli.json("recall", "1299", "--mode", "lexical", "-k", "1")["hits"]
    assert hit["text"] == "The rent is 1,299.00"


def test_in_async_memory(place: Path, model: ModelBundle) -> None:
    async def main() -> str:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(["The rent is 1299", "The rent was 299, then 1"])
            return (await memory.recall("1'299", mode="lexical", k=1))[0].text

    assert asyncio.run(main()) == "The rent is 1299"
