"""The words of a time were searched like others: "yesterday" found what was noted of other days."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import load_bundle
from agentmem.retrieval.dates import named_interval
from agentmem.retrieval.present import without_now
from agentmem_storage.words import phrases
from tests.support.cli import Cli

# A Wednesday.
NOW = datetime(2025, 6, 18, 12, tzinfo=UTC)
MOVED = "I moved to Madrid yesterday."
DENTIST = "Went to the dentist."
LUNCH = "Had lunch with Tom at the harbour."
BRAKE = "Fixed the bike's rear brake."
NOTES = [
    (MOVED, "2025-04-02"),
    ("Yesterday I finished the report.", "2025-06-01"),
    ("Last week was hard on all of us.", "2025-02-11"),
    ("Last night I could not sleep.", "2025-03-11"),
    ("Two days ago I fell off a ladder.", "2025-01-20"),
    ("Ordered new curtains for the kitchen.", "2025-06-10"),
    (DENTIST, "2025-06-16"),
    (LUNCH, "2025-06-17"),
    (BRAKE, "2025-06-17"),
]


def messages(notes: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text, "created_at": f"{day}T10:00Z"} for text, day in notes]


@pytest.fixture(scope="module")
def noted() -> Any:
    with Memory(":memory:", model=load_bundle()) as memory:
        for one in messages(NOTES):
            memory.add(one)
        yield memory


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What did I do yesterday?", {LUNCH, BRAKE}),
        ("what was I up to yesterday", {LUNCH, BRAKE}),
        ("Anything from yesterday?", {LUNCH, BRAKE}),
        ("yesterday", {LUNCH, BRAKE}),
        ("What happened yesterday?", {LUNCH, BRAKE}),
        ("What did I do last week?", {"Ordered new curtains for the kitchen."}),
        ("What did I do two days ago?", {DENTIST}),
        ("What did I do the day before yesterday?", {DENTIST}),
        ("What did I do last Monday?", {DENTIST}),
        ("What did I do on Monday?", {DENTIST}),
        ("What did I do on the 16th?", {DENTIST}),
        ("What happened on Monday the 16th?", {DENTIST}),
        ("What did I do on 16.06.25?", {DENTIST}),
        ("What did I do this week?", {DENTIST, LUNCH, BRAKE}),
        ("What did I fix yesterday?", {BRAKE}),
        ("Who did I have lunch with yesterday?", {LUNCH}),
    ],
)
def test_what_is_of_that_time_comes_first(noted: Memory, question: str, expected: set[str]) -> None:
    hits = noted.recall(question, k=len(expected), now=NOW)
    assert {hit.text for hit in hits} == expected


@pytest.mark.parametrize("question", ["Did I move to Madrid yesterday?", "Madrid yesterday"])
def test_the_rest_of_the_question_still_finds_another_day(noted: Memory, question: str) -> None:
    assert noted.recall(question, k=1, now=NOW)[0].text == MOVED


def test_nor_do_they_make_a_memory_of_another_day_relevant(noted: Memory) -> None:
    for question in ("What did I do yesterday?", "yesterday", "What did I fix yesterday?"):
        hits = noted.recall(question, k=len(NOTES), now=NOW)
        assert all(hit.relevance < 0.2 for hit in hits if "yesterday" in hit.text.lower())
    assert noted.recall("What did I fix yesterday?", now=NOW, min_relevance=0.3)[0].text == BRAKE
    assert noted.recall("Did I move to Madrid yesterday?", now=NOW)[0].relevance > 0.5


def test_words_of_time_count_where_nothing_is_of_that_time(noted: Memory) -> None:
    """As do those of what was said right after it, where they mean the same time."""
    hits = noted.recall("What did I do last night?", k=1, now=datetime(2024, 3, 1, tzinfo=UTC))
    assert hits[0].text == "Last night I could not sleep."
    with Memory(":memory:", model=load_bundle()) as memory:
        notes = [*NOTES, ("Yesterday the boiler broke.", "2025-06-18")]
        memory.add(messages(notes))
        texts = [hit.text for hit in memory.recall("What broke yesterday?", k=2, now=NOW)]
        assert texts[0] == "Yesterday the boiler broke."


def test_asynchronously_and_on_the_command_line(tmp_path: Path) -> None:
    async def first(question: str) -> str:
        async with AsyncMemory(tmp_path / "async", model=load_bundle()) as memory:
            await memory.add(messages(NOTES))
            return (await memory.recall(question, k=1, now=NOW))[0].text

    assert asyncio.run(first("What did I do yesterday?")) in (LUNCH, BRAKE)
    assert asyncio.run(first("What did I do on Monday?")) == DENTIST
    cli = Cli(tmp_path / "cli")
    file = tmp_path / "notes.json"
    file.write_text(json.dumps(messages(NOTES)))
    cli.ok("add", "--file", file)
    asked = ("recall", "What did I do yesterday?", "-k", 2, "--json", "--now", NOW.isoformat())
    assert LUNCH in cli.ok(*asked)
    assert BRAKE in cli.ok(*asked)
    asked = ("recall", "What did I do on the 16th?", "-k", 1, "--json", "--now", NOW.isoformat())
    assert DENTIST in cli.ok(*asked)


OF_NOW = [
    "I am a baker now.",
    "Currently I read a lot.",
    "I sleep badly these days.",
    "At the moment it rains.",
    "My flat is in Rome.",
    "I got a red Fiat.",
    "My wife is a dentist.",
]


@pytest.fixture(scope="module")
def present() -> Any:
    with Memory(":memory:", model=load_bundle()) as memory:
        memory.add(OF_NOW, created_at="2025-06-01")
        yield memory


@pytest.mark.parametrize("now", ["now", "right now", "currently", "these days", "at the moment"])
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where do I live {}?", "My flat is in Rome."),
        ("{} where do I live?", "My flat is in Rome."),
        ("What does she work as {}?", "My wife is a dentist."),
    ],
)
def test_now_is_not_searched(present: Memory, now: str, question: str, expected: str) -> None:
    asked = question.format(now)
    assert present.recall(asked, k=1)[0].text == expected
    assert present.recall(asked[0].upper() + asked[1:], k=1)[0].text == expected


def test_what_says_nothing_but_now_is_searched(present: Memory) -> None:
    assert present.recall("now", k=1)[0].text == "I am a baker now."
    assert present.recall("at the moment", k=1)[0].text == "At the moment it rains."


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Where do I live now?", "Where do I live?"),
        ("Now, where do I live?", ", where do I live?"),
        ("Do I smoke anymore?", "Do I smoke?"),
        ("Did I watch Apocalypse Now?", None),
        ("Now TV password", None),
        ("What is a now-or-never offer?", None),
        ("Have I paid anything until now?", None),
        ("What am I now?", None),
    ],
)
def test_which_words_of_now_are_left_out(question: str, words: str | None) -> None:
    assert without_now(question) == (words or question)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What did IT do last week at O'Brien's?", "What did IT do at O'Brien's?"),
        ("What happened 2 days ago with the 20kg bag?", "What happened with the 20kg bag?"),
        ("Did Will pay $3,000 on Monday last week?", "Did Will pay $3,000?"),
        # The same in every text.
        ("What did I do in May 2023?", None),
        ("What did we eat last Christmas?", None),
        ("Where was I two days before 3 May?", None),
        ("Who called in the nineties?", None),
    ],
)
def test_only_what_is_seen_from_now_is_left_out(question: str, words: str | None) -> None:
    interval = named_interval(question, NOW)
    assert interval is not None
    assert interval.unbound == (words or question)


SAID = st.text(st.characters(categories=["Ll", "Lu", "Nd", "Po", "Pd", "Zs", "Sc"]), max_size=20)


@given(SAID, st.sampled_from(["yesterday", "last week", "two days ago"]))
def test_all_other_words_are_kept(said: str, time: str) -> None:
    interval = named_interval(f"{said} , {time}", NOW)
    whole = set(phrases(f"{said} , {time}"))
    # A question of nothing but stop words keeps them; with the time in it, they are left out.
    if interval is not None and set(phrases(said)) <= whole and phrases(interval.unbound):
        kept = set(phrases(interval.unbound))
        assert kept <= whole
