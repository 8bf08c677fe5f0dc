"""What held at the time that a question is about comes first, whatever else was noted then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import load_bundle

NOW = datetime(2025, 9, 1, 12, tzinfo=UTC)
BERLIN, MADRID, LISBON = "I live in Berlin.", "I moved to Madrid.", "I moved to Lisbon."
LIVED = [(BERLIN, "2025-01-03"), (MADRID, "2025-04-02"), (LISBON, "2025-07-01")]
GOLF, TESLA, BIKE = "I drive a Golf.", "I drive a Tesla now.", "Sold the car, I only cycle now."
DROVE = [(GOLF, "2025-01-03"), (TESLA, "2025-04-02"), (BIKE, "2025-07-01")]
TESSEL, BRIGHTWAVE = "I work at Tessel as a designer.", "Started a new job at Brightwave."
WORKED = [(TESSEL, "2025-02-01"), (BRIGHTWAVE, "2025-05-01")]
NOTED = [
    ("Had lunch in Toledo with Marta.", "2025-05-11"),
    ("My new phone number is 555-1234.", "2025-05-20"),
    ("Bought a red lamp.", "2025-03-03"),
    ("The landlord raised the rent.", "2025-02-11"),
    ("Started a pottery class.", "2025-06-11"),
]


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    """Of three people, of whom each says one thing that changes."""
    with Memory(":memory:", model=load_bundle()) as memory:
        for user, said in (("ana", LIVED), ("bo", DROVE), ("cy", WORKED)):
            for text, day in [*said, *NOTED]:
                message = {"role": "user", "content": text, "created_at": f"{day}T10:00Z"}
                memory.add(message, user_id=user)
        yield memory


def found(memory: Memory, question: str, user: str = "ana") -> list[str]:
    hits = memory.recall(question, user_id=user, k=8, now=NOW)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.text for hit in hits]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Where did I live in May?", MADRID),
        ("Where was I living in May?", MADRID),
        ("Where did I live in May 2025?", MADRID),
        ("Where did I live in February?", BERLIN),
        ("Where did I live last month?", LISBON),
    ],
)
def test_what_held_then_comes_before_what_was_noted_then(
    memory: Memory, question: str, first: str
) -> None:
    assert found(memory, question)[0] == first


@pytest.mark.parametrize(
    ("question", "order"),
    [
        ("Where did I live before Lisbon?", [MADRID, BERLIN, LISBON]),
        ("Where did I live before I moved to Lisbon?", [MADRID, BERLIN, LISBON]),
        ("Where did I live before Madrid?", [BERLIN, MADRID]),
        ("Where did I live after Berlin?", [MADRID]),
        ("Where did I live before?", [MADRID, BERLIN, LISBON]),
        ("Where did I live first?", [BERLIN]),
        ("Where did I live before Oslo?", [MADRID, BERLIN, LISBON]),
        ("Where do I live?", [LISBON]),
    ],
)
def test_before_and_after_what_is_named(memory: Memory, question: str, order: list[str]) -> None:
    assert found(memory, question)[: len(order)] == order


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Which car did I drive in May?", TESLA),
        ("Which car did I drive before the Tesla?", GOLF),
        ("What did I drive in February?", GOLF),
    ],
)
def test_the_same_of_a_car(memory: Memory, question: str, first: str) -> None:
    assert found(memory, question, "bo")[0] == first


@pytest.mark.parametrize(
    "question", ["Who did I have lunch with in May?", "Where did I have lunch in May?"]
)
def test_what_happened_then_comes_first_if_that_is_asked(memory: Memory, question: str) -> None:
    assert found(memory, question)[0] == "Had lunch in Toledo with Marta."


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Where did I work after Tessel?", BRIGHTWAVE),
        ("Where did I work before Brightwave?", TESSEL),
        ("Where did I work in March?", TESSEL),
        ("Where do I work?", BRIGHTWAVE),
    ],
)
def test_nor_do_links_that_were_found_change_that(
    memory: Memory, question: str, first: str
) -> None:
    assert found(memory, question, "cy")[0] == first


def test_since_a_time_the_newest_still_comes_first(memory: Memory) -> None:
    assert found(memory, "Where do I live since last December?")[0] == LISBON
    assert found(memory, "What do I drive since last December?", "bo")[0] == BIKE


THREE = {
    "Where did I work before SAP?": [
        "I work at Siemens as an engineer.",
        "Started at Bosch in Stuttgart.",
        "I am at SAP now, as a product manager.",
    ],
    "What did I drive before the Tesla?": [
        "I drive a VW Golf.",
        "We bought a Volvo.",
        "I drive a Tesla now.",
    ],
    "Where did I live before Turin?": [
        "I live in Rome.",
        "My new flat is in Milan.",
        "I moved to Turin.",
    ],
    "Which phone did I have before the Pixel?": [
        "My phone is a Nokia 3310.",
        "Got myself an iPhone 12.",
        "I switched to a Pixel 9.",
    ],
}


@pytest.mark.parametrize("question", THREE)
def test_the_last_before_it_comes_first_also_if_its_link_to_another_is_not_seen(
    question: str,
) -> None:
    """The first and the last are linked, and one of them with the second."""
    said = [*zip(THREE[question], ["2025-01-03", "2025-04-02", "2025-07-01"], strict=True), *NOTED]
    with Memory(":memory:", model=load_bundle()) as memory:
        for text, day in said:
            memory.add(text, created_at=day)
        hits = memory.recall(question, k=3, now=NOW)
        first, second, third = THREE[question]
        assert [hit.text for hit in hits] == [second, first, third]
