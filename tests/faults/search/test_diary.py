"""Of entries that are all alike, that of the named day was behind those of other days.

What their cosines differ by, which is little, was scaled to the whole range of a score.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import load_bundle
from agentmem.retrieval.relevance import OF_ITS_TIME
from tests.support.cli import Cli

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FORMS = [
    "Had {} for dinner.",
    "Dinner was {} tonight.",
    "We ate {} for dinner with the kids.",
    "{} for dinner, then a film.",
    "Cooked {} for dinner because I was tired.",
]
DISHES = [
    *("pasta", "lentil soup", "pizza", "grilled salmon", "chicken curry", "a cheese omelette"),
    *("tacos", "ramen", "risotto", "a lamb stew", "sushi", "falafel", "pancakes", "dumplings"),
    *("beef chili", "quiche", "paella", "gnocchi", "bean burritos", "shakshuka", "moussaka"),
]
DAYS = [date(2026, 11, 26) - timedelta(days=number) for number in range(len(DISHES))]
DINNERS = {
    day: FORMS[number % len(FORMS)].format(dish)
    for number, (day, dish) in enumerate(zip(DAYS, DISHES, strict=True))
}
OYSTERS = "On 14 November we had oysters for dinner at Pierre's."


def note(text: str, day: str) -> dict[str, str]:
    return {"role": "user", "content": text, "created_at": f"{day}T20:00Z"}


NOTES = [note(text, str(day)) for day, text in sorted(DINNERS.items())]


@pytest.fixture(scope="module")
def diary() -> Iterator[Memory]:
    with Memory(":memory:", model=load_bundle()) as memory:
        for one in NOTES:
            memory.add(one)
        memory.add(note("Went for a run by the river.", "2026-11-17"))
        memory.add(note("The boiler was repaired at last, by Tom.", "2026-11-20"))
        yield memory


@pytest.mark.parametrize(
    "question",
    [
        "what did I have for dinner on {:%d %B %Y}?",
        "What was for dinner on the {0.day}th of {0:%B}?",
        "dinner on {:%d.%m.%y}",
    ],
)
def test_that_of_the_named_day_comes_first(diary: Memory, question: str) -> None:
    found = {
        day: diary.recall(question.format(day), k=1, now=NOW)[0].text
        for day in DAYS
        if day.day not in (1, 2, 3, 21, 22, 23)
    }
    assert found == {day: DINNERS[day] for day in found}


@pytest.mark.parametrize(
    ("question", "day"),
    [
        ("What did I have for dinner yesterday?", date(2026, 11, 26)),
        ("What did I have for dinner on Monday?", date(2026, 11, 23)),
        ("What was for dinner on the 9th?", date(2026, 11, 9)),
        ("How was dinner two days ago?", date(2026, 11, 25)),
    ],
)
def test_however_the_day_is_named(diary: Memory, question: str, day: date) -> None:
    assert diary.recall(question, k=1, now=NOW)[0].text == DINNERS[day]


@pytest.mark.parametrize(
    ("question", "day"),
    [
        ("What did I do yesterday?", date(2026, 11, 26)),
        ("what happened on 14 November 2026?", date(2026, 11, 14)),
        ("what did I tell you two days ago?", date(2026, 11, 25)),
        ("What did we talk about on the 9th?", date(2026, 11, 9)),
    ],
)
def test_what_is_of_the_time_that_is_all_that_is_asked_for_is_relevant(
    diary: Memory, question: str, day: date
) -> None:
    hits = diary.recall(question, now=NOW, min_relevance=0.5)
    assert hits.confident
    assert {hit.created_at.date() for hit in hits} == {day}


@pytest.mark.parametrize(
    "question",
    ["Where was I yesterday?", "Who was it yesterday?", "What did I do on 3 May 2020?"],
)
def test_a_time_does_not_answer_what_else_is_asked(diary: Memory, question: str) -> None:
    hits = diary.recall(question, now=NOW)
    assert max([hits.relevance, *(hit.relevance for hit in hits)]) < OF_ITS_TIME


def test_what_fits_better_stays_before_what_was_merely_said_then(diary: Memory) -> None:
    hits = diary.recall("Who repaired the boiler on 17 November?", k=3, now=NOW)
    assert "boiler" in hits[0].text


def test_scores_do_not_rise_behind_what_was_moved_up(diary: Memory) -> None:
    for day in DAYS:
        hits = diary.recall(f"what did I have for dinner on {day:%d %B %Y}?", k=9, now=NOW)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_what_is_told_of_that_day_on_another_one_is_not_pushed_out() -> None:
    with Memory(":memory:", model=load_bundle()) as memory:
        for one in (*NOTES, note(OYSTERS, "2026-11-20")):
            memory.add(one)

        def found(question: str) -> str:
            return str(memory.recall(question, k=1, now=NOW)[0].text)

        assert found("what did I have for dinner on 14 November 2026?") == OYSTERS
        # It has the month in common with other days, and is not of them.
        for day in (date(2026, 11, 18), date(2026, 11, 24)):
            assert found(f"what did I have for dinner on {day:%d %B %Y}?") == DINNERS[day]


FOX = "Yesterday I saw a fox in the garden."


@pytest.mark.parametrize(
    "question", ["What did I see on 11 November?", "What did I see on 11.11.26?"]
)
def test_what_is_told_of_a_day_comes_first_also_if_nothing_is_from_it(question: str) -> None:
    said = [("Bought a red scarf for Eva.", "2026-11-24"), (FOX, "2026-11-12")]
    said += [("Took my pills.", "2026-11-27"), ("Ran along the canal.", "2026-11-23")]
    with Memory(":memory:", model=load_bundle()) as memory:
        for text, day in said:
            memory.add(note(text, day))
        assert memory.recall(question, k=1, now=NOW)[0].text == FOX


def test_asynchronously_and_on_the_command_line(tmp_path: Path) -> None:
    question, expected = "dinner on 17 November 2026", DINNERS[date(2026, 11, 17)]

    async def first() -> str:
        async with AsyncMemory(tmp_path / "async", model=load_bundle()) as memory:
            await memory.add(NOTES)
            return (await memory.recall(question, k=1, now=NOW))[0].text

    assert asyncio.run(first()) == expected
    cli = Cli(tmp_path / "cli")
    file = tmp_path / "notes.json"
    file.write_text(json.dumps(NOTES))
    cli.ok("add", "--file", file)
    asked: tuple[Any, ...] = ("recall", question, "-k", 1, "--json", "--now", NOW.isoformat())
    assert expected in cli.ok(*asked)
