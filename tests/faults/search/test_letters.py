"""Words were not found when a letter was written another way: "елка" did not find "ёлка"."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import words
from agentmem_storage.text import normalized
from agentmem_storage.words.letters import plain
from tests.support.cli import Cli
from tests.support.older import make_older

# Two spellings of the same word.
PAIRS = [
    ("ёлка", "елка"),
    ("ЁЛКА", "елка"),
    ("самолёт", "САМОЛЕТ"),
    ("за́мок", "замок"),
    ("Łódź", "Lodz"),
    ("Wałęsa", "walesa"),
    ("Køge", "koge"),
    ("Đorđe", "Dorde"),
    ("đường", "duong"),
    ("Diyarbakır", "diyarbakir"),
    ("ISPARTA", "ısparta"),
    ("İzmir", "izmir"),
    ("Straße", "strasse"),
    ("STRASSE", "straße"),
    ("GROẞ", "gross"),
    ("Ægir", "Aegir"),
    ("cœur", "coeur"),
    ("Þórr", "thorr"),
    ("Ħamrun", "hamrun"),
    ("Αθήνα", "Αθηνα"),
    ("ΑΘΗΝΑ", "Αθήνα"),
    ("Μαΐου", "μαιου"),
    ("Σωκράτης", "ΣΩΚΡΑΤΗΣ"),
    ("ᾳδειν", "αδειν"),
    ("أحمد", "احمد"),
    ("إيمان", "ايمان"),
    ("آمال", "امال"),
    ("ٱلكتاب", "الكتاب"),
    ("مستشفى", "مستشفي"),
    ("مدرسة", "مدرسه"),
    ("محمـــد", "محمد"),
    ("مُحَمَّد", "محمد"),
    ("کتاب", "كتاب"),
    ("علی", "علي"),
    ("٢٠٢٣", "2023"),
    ("२०२३", "2023"),
    ("Ångström", "angstrom"),
    ("São", "Sao"),
    ("façade", "FACADE"),
    ("हिन्दी", "हिंदी"),
    ("कम्पनी", "कंपनी"),
    ("गङ्गा", "गंगा"),
    ("पञ्च", "पंच"),
    ("ठण्डा", "ठंडा"),
    ("माँ", "मां"),
    ("ज़रूर", "जरूर"),
    ("फ़ोन", "फोन"),
    ("હિન્દી", "હિંદી"),
    ("ହିନ୍ଦୀ", "ହିଂଦୀ"),
    ("హిన్దీ", "హిందీ"),
    ("ಹಿನ್ದಿ", "ಹಿಂದಿ"),
]
IDS = [f"{one} {other}" for one, other in PAIRS]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=IDS)
def test_either_spelling_is_searched_and_indexed_as_the_other(one: str, other: str) -> None:
    assert words.index_text(one) == words.index_text(other)
    assert words.phrases(one) == words.phrases(other)


def test_a_text_is_found_by_the_other_spelling_and_stays_as_it_is(memory: Memory) -> None:
    texts = [f"{one} 7{at}" for at, (one, _) in enumerate(PAIRS)]
    memory.add(texts)
    assert [chunk.text for chunk in memory.list()] == texts
    missed = []
    for text, (_, other) in zip(texts, PAIRS, strict=True):
        found = memory.recall(other, mode="lexical", k=5)
        if text not in [hit.text for hit in found]:
            missed.append((text, other))
    assert missed == []
    first = next(iter(memory.list()))
    memory.forget([first.id])
    assert memory.verify().ok


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("мой", "мои"),
        ("їжак", "іжак"),
        ("की", "का"),
        ("सम्मान", "संमान"),
        ("जन्म", "जंम"),
        ("अन्य", "अंय"),
        ("ก่า", "กา"),
        ("か", "が"),
        ("бар", "bar"),
        ("ثلج", "تلج"),
        ("łoś", "los angeles"),
    ],
)
def test_different_letters_stay_different(one: str, other: str) -> None:
    assert words.index_text(one) != words.index_text(other)


def test_with_an_accent_it_is_no_stop_word() -> None:
    """ "Ăn" is "to eat"; "an" says nothing."""
    assert words.phrases("ăn cơm") == ["an", "com"]
    assert words.phrases("an apple") == ["apple"]


@given(st.text(max_size=40))
def test_a_plain_word_stays_as_it_is(text: str) -> None:
    once = plain(normalized(text))
    assert plain(normalized(once)) == once


@given(
    text=st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30),
    accent=st.sampled_from("\u0301\u0308\u0327\u0331"),
)
def test_accents_of_latin_letters_never_matter(text: str, accent: str) -> None:
    accented = "".join(c + accent if c.isascii() and c.isalpha() else c for c in text)
    if text.isascii():
        assert words.index_text(accented).split() == words.index_text(text).split()


def test_names_and_titles(memory: Memory) -> None:
    memory.add(Message("We met.", name="Łukasz"))
    memory.add(Document("Turn left at the bridge.", title="Αθήνα"))
    assert memory.recall("lukasz", mode="lexical", k=1)[0].name == "Łukasz"
    assert memory.recall("αθηνα", mode="lexical", k=1)[0].source.title == "Αθήνα"


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "Мы купили ёлку")
    cli.ok("add", "Мы купили хлеб")
    (hit,) = cli.json("recall", "елку", "--mode", "lexical", "-k", "1")["hits"]
    assert hit["text"] == "Мы купили ёлку"


async def _first(place: Path, model: ModelBundle, query: str) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        return (await memory.recall(query, mode="lexical", k=1))[0].text


def test_in_async_memory(memory: Memory, place: Path, model: ModelBundle) -> None:
    memory.add(["Jedziemy do Łodzi", "Jedziemy do Gdyni"])
    assert asyncio.run(_first(place, model, "lodzi")) == "Jedziemy do Łodzi"


@pytest.mark.parametrize("step", ["0006_letters", "0008_numbers"])
def test_the_index_of_an_older_version_is_rebuilt(
    memory: Memory, place: Path, model: ModelBundle, step: str
) -> None:
    """Its progress is reported, for it takes some milliseconds for each memory."""
    memory.add([f"ёлка {at}" for at in range(70)])
    memory.close()
    make_older(place / "memory.db", step)
    seen: list[tuple[int, int]] = []
    with Memory(place, model=model, on_progress=lambda *step: seen.append(step)) as opened:
        assert len(opened.recall("елка", mode="lexical", k=100)) == 70
        assert opened.verify().ok
    assert seen == [(64, 70), (70, 70)]
    with Memory(place, model=model, on_progress=lambda *step: seen.append(step)):
        assert len(seen) == 2  # only once


def test_the_command_line_rebuilds_it_too(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "Мы купили ёлку")
    make_older(cli.store / "memory.db", "0006_letters")
    (hit,) = cli.json("recall", "елку", "--mode", "lexical")["hits"]
    assert hit["text"] == "Мы купили ёлку"
