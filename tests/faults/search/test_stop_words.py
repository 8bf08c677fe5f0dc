"""Names that are spelled like stop words were not searched: "plan A", "Will", "IT", "The Who"."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import words
from tests.support.cli import Cli

TEXTS = [
    "Plan A is to take the night train.",
    "Plan B is to fly, a quick way to be there.",
    "We will see what the plan is, and a ferry may be part of it.",
    "My brother Will likes rowing.",
    "Ana will like the boat, and so will I.",
    "The doctor said to take vitamin A in winter.",
    "The doctor said to take vitamin D as well, a small dose.",
    "Ben works in IT now.",
    "It is Cleo who works in a bakery, and she likes it.",
    "We heard The Who in Leeds.",
    "The man who sang in Leeds had the flu.",
    "Dora moved to the US last autumn.",
    "They told us in autumn that the bridge was closed.",
    "Her friend An came by with a cake.",
    "The book on World War I is on the shelf.",
    "The book on World War II is on the desk, I think.",
    "We watched Dr. No on Sunday.",
    "No doctor was on duty on Sunday, so we watched the news.",
    "An paints boats.",
    "Can Yılmaz came for tea.",
]
FOUND = [
    ("What is plan A?", "Plan A is"),
    ("plan a?", "Plan A is"),
    ("What does Will like?", "My brother Will"),
    ("Does Will row, or will Ana?", "My brother Will"),
    ("vitamin A", "The doctor said to take vitamin A"),
    ("did the doctor say to take vitamin a?", "The doctor said to take vitamin A"),
    ("Who works in IT?", "Ben works in IT"),
    ("IT", "Ben works in IT"),
    ("The Who", "We heard The Who"),
    ("Where did we hear The Who?", "We heard The Who"),
    ("Who moved to the US?", "Dora moved"),
    ("US", "Dora moved"),
    ("Did An bring a cake?", "Her friend An"),
    ("Where is the book on World War I?", "The book on World War I is"),
    ("Dr. No", "We watched Dr. No"),
    ("When did we watch Dr. No?", "We watched Dr. No"),
    ("Will likes what?", "My brother Will"),
    ("Will and Ana, do they row?", "My brother Will"),
    ("An paints what?", "An paints"),
    ("What does An paint?", "An paints"),
    ("Can Yılmaz came when", "Can Yılmaz"),
    ("Who band in Leeds", "We heard The Who"),
]

PEOPLE = "Ana Ben Cleo Dora Emil Finn Greta Hugo Ivo Jane".split()
ALIKE = [
    *(f"{name}'s birthday is on {day} June." for day, name in enumerate(PEOPLE, 3)),
    "Will's birthday is on 21 June.",
    "I will plan a birthday party, and she will help.",
    "Plan A is for the rainy days.",
    "Plan B is for the sunny days.",
    "The sales department is on floor 4.",
    "The HR department is on floor 2.",
    "The IT department is on floor 3.",
    "My UK visa expires in May.",
    "My US visa expires in March.",
    "My French visa expires in July.",
    "The Cure concert is on Sunday.",
    "The Who concert is on Friday.",
    "Option B is Turin, a city in Italy.",
    "Option A is Lyon, a city in France.",
    "For the party Ana wants a cake.",
    "For the party Will wants a kite.",
    "He codes in C.",
    "They code in C#.",
    "She codes in C++.",
    "It codes in F#, on .NET.",
]
WRITTEN_ANYHOW = [
    ("when is will's birthday?", "Will's"),
    ("when is will\u2019s birthday?", "Will's"),
    ("When Is Will's Birthday?", "Will's"),
    ("WILL'S BIRTHDAY", "Will's"),
    ("Will's birthday", "Will's"),
    ("Will birthday", "Will's"),
    ("birthday: Will", "Will's"),
    ("Will", "Will's"),
    ("will", "Will's"),
    ("what does will want for the party?", "For the party Will"),
    ("when does my us visa expire?", "My US"),
    ("U.S. visa", "My US"),
    ("when does the u.s. visa expire?", "My US"),
    ("U.K. visa", "My UK"),
    ("where's plan a for", "Plan A"),
    ("A plan", "Plan A"),
    ("option a city", "Option A"),
    ("it department floor", "The IT"),
    ("IT DEPARTMENT FLOOR", "The IT"),
    ("the who concert", "The Who"),
    ("when is the who on?", "The Who"),
    ("C", "He codes"),
    ("C++", "She codes"),
    ("who codes in c++?", "She codes"),
    ("C#", "They code"),
    ("f#", "It codes"),
    (".Net", "It codes"),
]


@pytest.fixture(scope="module")
def alike(model: ModelBundle) -> Iterator[Memory]:
    """Memories that differ in the name alone."""
    with Memory(":memory:", model=model) as memory:
        memory.add(ALIKE)
        yield memory


@pytest.mark.parametrize(("query", "begins"), WRITTEN_ANYHOW, ids=[q for q, _ in WRITTEN_ANYHOW])
def test_a_name_is_found_however_the_query_is_written(
    alike: Memory, query: str, begins: str
) -> None:
    found = alike.recall(query, mode="lexical", k=3)
    assert found[0].text.startswith(begins), [hit.text for hit in found]


@pytest.mark.parametrize("query", ["it will rain", "Is it a birthday?", "who will do it?"])
def test_a_word_that_only_may_be_a_name_selects_no_better_than_others(
    alike: Memory, query: str
) -> None:
    certain, possible, *_ = words.parse(query)
    assert possible
    assert not any(phrase.endswith("_") for phrase in certain)


@pytest.mark.parametrize(
    ("one", "other"),
    [("U.S. visa", "US visa"), ("the U.S.A", "the USA"), ("9 a.m.", "9 AM"), ("J.K. R", "JK R")],
)
def test_full_stops_in_an_abbreviation_make_no_difference(one: str, other: str) -> None:
    assert words.index_text(one) == words.index_text(other)
    assert words.phrases(one) == words.phrases(other)


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("C++, C# or C", "c++ c# or c"),
        ("c++11", "c++ 11"),
        ("ASP.NET", "asp net"),
        ("example.net", "example net"),
        ("issue#12", "issue 12"),
        ("v1.2.b", "v1 2 b"),
        ("He moved to the U.S. Ana did not", "he moved to the us ana did not us_"),
    ],
)
def test_signs_that_belong_to_a_word(text: str, forms: str) -> None:
    assert words.index_text(text) == forms


@pytest.fixture
def notes(memory: Memory) -> Memory:
    memory.add(TEXTS, user_id="ana")
    return memory


@pytest.mark.parametrize(("query", "begins"), FOUND, ids=[query for query, _ in FOUND])
def test_a_name_is_found(notes: Memory, query: str, begins: str) -> None:
    found = notes.recall(query, user_id="ana", mode="lexical", k=3)
    assert found[0].text.startswith(begins), [hit.text for hit in found]


def test_a_speaker_and_a_title_are_names(memory: Memory) -> None:
    memory.add([Message("I row on Sundays.", name="Will"), Message("I will row.", name="Ana")])
    memory.add(Document("Leaving on Monday.", title="IT"))
    memory.add("What is it that she is leaving?")
    assert memory.recall("When does Will row?", mode="lexical", k=1)[0].name == "Will"
    assert memory.recall("Who is leaving IT?", mode="lexical", k=1)[0].source.title == "IT"


@pytest.mark.parametrize(
    ("query", "phrases"),
    [
        ("Will it rain?", ["rain"]),
        ("Will the dog like it?", ["dog", "like"]),
        ("Will Ana come?", ["ana", "come"]),
        ("An apple and an egg", ["apple", "egg"]),
        ("Can we go?", ["go"]),
        ("Who likes tea?", ["likes", "tea"]),
        ("Who was it in Leeds", ["leeds"]),
        ("Who rows?", ["rows"]),
        ("Do you row?", ["row"]),
        ("He came. Will it rain", ["came", "rain"]),
        ("On Monday I went there", ["monday", "went"]),
        ("WHAT DOES HE LIKE?", ["like"]),
        ("What Does The Dog Like?", ["dog", "like"]),
        ("A dog and a cat.", ["dog", "cat"]),
        ("I like it", ["like"]),
        ("He said: A plan", ["said", "plan"]),
        ("who is she", ["who", "is", "she"]),
    ],
)
def test_what_is_no_name_stays_a_stop_word(query: str, phrases: list[str]) -> None:
    assert words.phrases(query) == phrases


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for text in TEXTS[:5]:
        cli.ok("add", text)
    for query in ("What does Will like?", "what does will like?", "will's boat"):
        (hit,) = cli.json("recall", query, "--mode", "lexical", "-k", "1")["hits"]
        assert hit["text"] == TEXTS[3]


async def _first(place: Path, model: ModelBundle, query: str) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        return (await memory.recall(query, user_id="ana", mode="lexical", k=1))[0].text


def test_in_async_memory(notes: Memory, place: Path, model: ModelBundle) -> None:
    assert asyncio.run(_first(place, model, "What is plan A?")) == TEXTS[0]
    assert asyncio.run(_first(place, model, "what does will like?")) == TEXTS[3]
