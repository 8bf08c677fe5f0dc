"""A question behind a hundred words of talk was lost: only a query's first 64 phrases counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.focus import MOST_WINDOWS, SHORT, embed_query, focused
from agentmem_storage.sql.lexical import terms
from tests.support.cli import Cli

PLACES = "Lyon Porto Ghent Turin Malmo Cadiz Bergen Basel Trieste Bruges".split()
THINGS = "umbrella passport camera scarf kettle lantern compass violin jersey ladder".split()
TEXTS = [f"I left my {thing} in {place}." for place, thing in zip(PLACES, THINGS, strict=True)]
# About 120 words of talk, none of them a question.
TALK = [
    f"The {adjective} {noun} stood near the harbor while we waited for another {vehicle}."
    for adjective, noun, vehicle in zip(
        "grey tall narrow crooked wooden painted empty distant broken silent".split(),
        "tower crane bench fence shed statue kiosk chimney gate lamp".split(),
        "ferry bus tram train taxi van barge truck coach sledge".split(),
        strict=True,
    )
]
ASKED = [f"Where did I leave my {thing}?" for thing in THINGS]


def said(question: str, where: int) -> str:
    return " ".join([*TALK[:where], question, *TALK[where:]])


@pytest.fixture
def notes(memory: Memory) -> Memory:
    # What was said of the harbor is in the store as well, and resembles the talk most.
    memory.add([*TEXTS, *TALK], user_id="ana")
    return memory


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "vector"])
def test_the_rank_does_not_depend_on_where_the_question_stands(notes: Memory, mode: str) -> None:
    for question, text in zip(ASKED[::3], TEXTS[::3], strict=True):
        alone = [hit.id for hit in notes.recall(question, user_id="ana", mode=mode, k=5)]
        for where in (0, 5, 10):
            query = said(question, where)
            found = notes.recall(query, user_id="ana", mode=mode, k=5)
            assert [hit.id for hit in found] == alone
            if mode == "lexical":
                assert found[0].text == text


@pytest.mark.parametrize("where", [0, 3, 6])
def test_without_a_question_the_rarest_words_count_wherever_they_stand(
    memory: Memory, where: int
) -> None:
    """More than 64 phrases, all of them in the store, and what is asked for is the rarest."""
    common = [f"word{number} thing{number} place{number}" for number in range(40)]
    memory.add([f"{line} {suffix}" for line in common for suffix in ("one", "two", "three")])
    (id,) = memory.add("The lantern is on the shelf.").ids
    parts = [" ".join(common[at : at + 10]) for at in range(0, 40, 10)]
    parts.insert(where, "tell me of the lantern")
    query = ". ".join(parts)
    assert len(query.split()) > 2 * terms.MAX_PHRASES - 10
    scores = {hit.id: hit.score for hit in memory.recall(query, mode="lexical", k=200)}
    assert id in scores


def test_a_short_query_is_searched_as_it_stands(model: ModelBundle) -> None:
    query = "I lost it. Where is my scarf?"
    assert len(model.tokenizer.encode(query)) <= SHORT
    assert focused(query, model.tokenizer) == query


def test_a_long_text_without_a_question_is_searched_as_a_whole(model: ModelBundle) -> None:
    assert focused(" ".join(TALK), model.tokenizer) == " ".join(TALK)


@pytest.mark.parametrize(
    "request_",
    [
        "Tell me where I left my umbrella.",
        "So, please remind me where my umbrella is",
        "I need to know where my umbrella is.",
        "where did I leave my umbrella",
    ],
)
def test_a_pleasantry_does_not_hide_the_request(notes: Memory, request_: str) -> None:
    query = " ".join(["How are you doing today?", *TALK, request_])
    assert notes.recall(query, user_id="ana", mode="lexical", k=1)[0].text == TEXTS[0]


@pytest.mark.parametrize("where", [0, 5, 10])
@pytest.mark.parametrize(
    "asked",
    [
        "what was my cholesterol",
        "remind me where the staging password is",
        "does Ana like tea",
        "can you tell me about my trip",
    ],
)
def test_a_question_without_its_mark_is_found_in_what_was_pasted(
    model: ModelBundle, asked: str, where: int
) -> None:
    log = [
        f"2026-11-20 10:{at}:11 INFO request {at} path=/v1/orders took 13 ms" for at in range(10)
    ]
    log.insert(where, asked)
    assert focused("\n".join(log), model.tokenizer) == asked
    log.insert(5, "# why does it fail?\n" * 3)
    assert focused("\n".join(log), model.tokenizer).count("fail?") == 1
    assert asked in focused("\n".join(log), model.tokenizer)


@pytest.mark.parametrize("where", [0, 5, 10])
@pytest.mark.parametrize(
    "wanted",
    [
        "The form asks for the insurance number.",
        "Can u send me that insurance number.",
        "I need the boiler code please.",
        "My doctor wants to know my blood type.",
    ],
)
def test_what_is_wanted_is_found_in_talk(model: ModelBundle, wanted: str, where: int) -> None:
    assert focused(said(wanted, where), model.tokenizer) == wanted


def test_a_story_is_searched_as_a_whole(model: ModelBundle) -> None:
    story = "When we arrived in Porto it was raining. What I liked most was the river.\n" * 5
    assert focused(story, model.tokenizer) == story


def test_nor_does_talk_at_the_end_become_a_request(model: ModelBundle) -> None:
    query = said("Where is my scarf?", 5) + " And the bus was late."
    assert focused(query, model.tokenizer) == "Where is my scarf?"


@pytest.mark.parametrize("mark", ["?", "\uff1f", "\u061f", "?!"])
def test_a_question_is_found_by_its_mark(model: ModelBundle, mark: str) -> None:
    query = said(f"Where is my scarf{mark}", 5)
    assert focused(query, model.tokenizer) == f"Where is my scarf{mark}"


def test_windows_of_a_long_query_are_all_embedded(model: ModelBundle) -> None:
    ids = model.tokenizer.encode(" ".join(TALK))
    whole = embed_query(model.embedder, ids, 32)
    assert whole.shape == (model.embedder.dims,)
    assert float(whole @ whole) == pytest.approx(1.0, abs=1e-5)
    halves = len(ids) // 2
    turned = embed_query(model.embedder, [*ids[halves:], *ids[:halves]], halves + 1)
    assert float(embed_query(model.embedder, ids, halves + 1) @ turned) > 0.99


class Counting:
    """Embeds by the first token of a window, and notes it."""

    dims = 64

    def __init__(self) -> None:
        self.begun: list[int] = []

    def embed_query(self, ids: Sequence[int]) -> NDArray[np.float32]:
        self.begun.append(ids[0])
        return np.eye(self.dims, dtype=np.float32)[ids[0] % self.dims]


def test_of_a_pasted_log_so_many_windows_are_embedded() -> None:
    """A reply waited 3 s for 40,000 characters, and a minute for a request of 400,000."""
    embedder = Counting()
    embed_query(embedder, range(5000), 10)  # type: ignore[arg-type]
    assert len(embedder.begun) == MOST_WINDOWS
    assert (embedder.begun[0], embedder.begun[-1]) == (0, 4990)
    assert embedder.begun == sorted(set(embedder.begun))


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for text in (*TEXTS[:4], *TALK[:4]):
        cli.ok("add", text)
    for where in (0, 10):
        query = said(ASKED[2], where)
        (hit,) = cli.json("recall", query, "--mode", "lexical", "-k", "1")["hits"]
        assert hit["text"] == TEXTS[2]


async def _first(place: Path, model: ModelBundle, query: str) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        return (await memory.recall(query, user_id="ana", mode="lexical", k=1))[0].text


def test_in_async_memory(notes: Memory, place: Path, model: ModelBundle) -> None:
    assert asyncio.run(_first(place, model, said(ASKED[4], 10))) == TEXTS[4]
