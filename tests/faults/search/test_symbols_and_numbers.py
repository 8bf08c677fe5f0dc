"""Symbols were no words; "20mg" and telephone numbers were found only as they were written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import words
from tests.support.cli import Cli

SYMBOLS = ["★", "☆", "∑", "→", "€", "₹", "≥", "×", "°", "✓", "♫", "©", "√", "∞", "▲"]


def first(memory: Memory, query: str) -> str | None:
    found = memory.recall(query, mode="lexical", k=1)
    return found[0].text if found else None


def test_symbols_are_words(memory: Memory) -> None:
    texts = [f"note {number} {symbol} here" for number, symbol in enumerate(SYMBOLS)]
    memory.add([*texts, "note without any"])
    assert [first(memory, symbol) for symbol in SYMBOLS] == texts
    memory.add("It costs €20")
    assert first(memory, "20 €") == "It costs €20"
    memory.forget([next(iter(memory.list())).id])
    assert memory.verify().ok


@pytest.mark.parametrize(
    "text", ["a = b + c", "1 < 2 | 3 ~ 4", "┌──┐│x│█", "1 \u2212 2", "1\u20442"]
)
def test_signs_of_code_and_tables_are_none(text: str) -> None:
    assert all(form.isalnum() for form in words.index_text(text).split())


SAME = [
    ("20mg", "20 mg"),
    ("2.5mg", "2.5 mg"),
    ("5PM", "5 pm"),
    ("20мг", "20 мг"),
    ("100kWh", "100 kWh"),
    ("80km", "80 km"),
    ("16GB", "16 GB"),
    ("COVID19", "COVID 19"),
    ("COVID-19", "covid19"),
    ("iPhone15", "iPhone 15"),
    ("AB1234", "AB-1234"),
    ("555-123-4567", "5551234567"),
    ("555 123 4567", "5551234567"),
    ("(555) 123-4567", "555.123.4567"),
    ("+1 (555) 123-4567", "5551234567"),
    ("+1 555 123 4567", "15551234567"),
    ("030 1234567", "030-1234567"),
    ("0301234567", "030/123 45 67"),
    ("06 12 34 56 78", "0612345678"),
    ("٠٦ ١٢ ٣٤ ٥٦ ٧٨", "0612345678"),
    ("DE 1234 5678 9012", "DE123456789012"),
    ("1.200.000", "1200000"),
    ("978-3-16-148410-0", "9783161484100"),
    ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    ("4111 1111 1111 1111", "4111111111111111"),
    ("GPT4", "GPT-4"),
    ("LH1234", "LH 1234"),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=[f"{one}, {other}" for one, other in SAME])
def test_either_way_of_writing_is_found(memory: Memory, one: str, other: str) -> None:
    for text, query in ((one, other), (other, one)):
        memory.add([f"It is {text}, I think", "It is 21 mg or 4 am, or 999 888 7777, I think"])
        assert first(memory, query) == f"It is {text}, I think"
        memory.forget(before="2999-01-01")


@pytest.mark.parametrize("text", ["A4", "B12", "3f2a9c", "x86", "1234abcdef", "A1B2", "h264"])
def test_ids_stay_whole(text: str) -> None:
    assert words.index_text(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3 4 5 6 7 8",
        "12 34 56 78 90 12 34 56 78",
        "1 2 3 4 5",
        "1234567",
        "12,345,678",
        "12:34:56",
    ],
)
def test_other_rows_of_numbers_are_not_joined(text: str) -> None:
    assert max(map(len, words.index_text(text).split())) <= 7


@given(st.text("0123456789 -()./a", max_size=60))
def test_a_number_has_few_wholes(text: str) -> None:
    split = [form for form in words.index_text(text).split() if form.isdecimal()]
    assert len(split) <= 4 * len(text) + 1  # four at most for each group
    assert words.parse(text).certain or not any(one.isalnum() for one in text)


def test_the_stored_text_is_as_it_was(memory: Memory) -> None:
    texts = ["★ 20mg हिन्दी", "call +1 (555) 123-4567"]
    memory.add(texts)
    assert [chunk.text for chunk in memory.list()] == texts
    new = memory.update(next(iter(memory.list())).id, text="☆ 30mg").ids[0]
    assert first(memory, "30 mg") == "☆ 30mg"
    assert first(memory, "★") is None
    memory.forget([new])
    assert memory.verify().ok


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "Her number is 555 123 4567", "She takes 20mg", "Five ★ for the hotel")
    for query, text in (("5551234567", "Her"), ("20 mg", "She"), ("★", "Five")):
        (hit,) = cli.json("recall", query, "--mode", "lexical", "-k", "1")["hits"]
        assert hit["text"].startswith(text)


def test_in_async_memory(place: Path, model: ModelBundle) -> None:
    async def main() -> str:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(["She takes 20mg", "She takes 30mg"])
            return (await memory.recall("30 mg", mode="lexical", k=1))[0].text

    assert asyncio.run(main()) == "She takes 30mg"
