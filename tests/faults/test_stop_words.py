"""Names that are spelled like stop words were not searched: "plan A", "Will", "IT", "The Who"."""

from __future__ import annotations

import asyncio
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
    (hit,) = cli.json("recall", "What does Will like?", "--mode", "lexical", "-k", "1")["hits"]
    assert hit["text"] == TEXTS[3]


async def _first(place: Path, model: ModelBundle, query: str) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        return (await memory.recall(query, user_id="ana", mode="lexical", k=1))[0].text


def test_in_async_memory(notes: Memory, place: Path, model: ModelBundle) -> None:
    assert asyncio.run(_first(place, model, "What is plan A?")) == TEXTS[0]
