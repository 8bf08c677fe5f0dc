"""Of memories that answer a question and contradict each other, the newest comes first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem.models.bundle.load import load_bundle
from agentmem.retrieval.supersession import (
    SLOTS,
    Asked,
    Candidate,
    Signals,
    Wording,
    knows_slots,
    probability,
    signals,
)
from agentmem_storage.records import Said

OLD, NEW = "I'm with Tessel, in the logistics team", "My new badge arrived: Halden Foods"
NOTES = [
    "Watered the tomatoes before work.",
    "Bins go out on Thursday, paper only.",
    "Roasted chestnuts in the oven.",
    "Took a nap on the sofa, woke up at dusk.",
    "Sharpened the kitchen knives.",
]
NOW = datetime(2025, 1, 1, tzinfo=UTC)
BOTH = [(OLD, "2023-02-01"), (NEW, "2024-03-01")]


def order(place: Path, said: Sequence[tuple[str, str]], question: str, **given: Any) -> list[str]:
    """Texts of what was said, in the order in which a question finds them among some notes."""
    texts = [*said, *((note, "2023-06-01") for note in NOTES)]
    with Memory(place, model=load_bundle()) as memory:
        for text, day in texts:
            memory.add({"role": "user", "content": text, "created_at": day})
        hits = memory.recall(question, k=8, now=NOW, **given)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        return [hit.text for hit in hits if hit.text not in NOTES]


@pytest.mark.parametrize("question", ["Who do I work for?", "Which company am I at now?"])
def test_the_newest_comes_first_if_it_is_asked_for(place: Path, question: str) -> None:
    assert order(place, BOTH, question) == [NEW, OLD]


@pytest.mark.parametrize("question", ["Who did I work for before?", "What was my old company?"])
def test_the_newest_comes_last_if_what_was_before_is_asked_for(place: Path, question: str) -> None:
    assert order(place, BOTH, question) == [OLD, NEW]


SIBLINGS = """
The garage code is 7719. | The cellar code is 8825. | What is the garage code?
My dentist is Dr. Blum. | My cardiologist is Dr. Iyer. | Who is my dentist?
Our dog is called Rex. | Our cat is called Miso. | what is our dog called?
Tom lives in Oslo. | Anna moved to Bergen. | Where does Tom live?
Paris is the capital of France. | Rome is the capital of Italy. | What is the capital of France?
I work at Siemens. | Tom works at Bosch now. | Where do I work?
I live in Paris. | My parents moved to Rome. | Where do I live?
I live in Rome. | I lived in Paris as a child. | Where do I live?
I am allergic to peanuts. | I am allergic to shellfish. | am I allergic to peanuts?
"""


@pytest.mark.parametrize("case", SIBLINGS.strip().splitlines())
def test_what_is_about_something_else_supersedes_nothing(place: Path, case: str) -> None:
    old, new, question = case.split(" | ")
    assert order(place, [(old, "2023-02-01"), (new, "2024-03-01")], question)[0] == old


@pytest.mark.parametrize(
    ("old", "new", "question"),
    [
        ("Tom lives in Oslo.", "Tom moved to Bergen.", "Where does Tom live?"),
        ("My dentist is Dr Blum.", "Dr Blum retired, I'm with Dr Iyer.", "Who is my dentist?"),
        ("I pay 920 euros for the flat.", "The rent goes to 980 euros.", "What do I pay for it?"),
    ],
)
def test_what_is_about_the_same_does(place: Path, old: str, new: str, question: str) -> None:
    assert order(place, [(old, "2023-02-01"), (new, "2024-03-01")], question)[0] == new


def test_what_was_said_after_a_time_did_not_hold_then(place: Path) -> None:
    assert order(place, BOTH, "Who did I work for in 2023?") == [OLD, NEW]


def test_the_caller_can_say_what_is_wanted(place: Path) -> None:
    question = "Who did I work for before?"
    assert order(place, BOTH, question, prefer="latest") == [NEW, OLD]


WIFI = [("Home wifi: tango77", "2023-02-01"), ("Home wifi is maple-49 since then", "2024-03-01")]


def test_keywords_find_the_newest_of_what_has_them(place: Path) -> None:
    assert order(place, WIFI, "wifi password") == [WIFI[1][0], WIFI[0][0]]


def test_keywords_find_what_has_them_and_not_what_supersedes_it(place: Path) -> None:
    said = [("I live in Paris.", "2023-02-01"), ("I moved to Rome last week!", "2024-03-01")]
    assert order(place, said, "Paris")[0] == said[0][0]
    assert order(place.with_name("again"), said, "Where do I live?")[0] == said[1][0]


@pytest.mark.parametrize(
    ("said", "question", "given"),
    [
        (BOTH, "Who do I work for?", {"prefer": "any"}),
        (BOTH, "Who do I work for?", {"mode": "vector"}),
        ([BOTH[0], (NEW, "2023-02-01T10:00Z")], "Who do I work for?", {}),
        ([BOTH[0], ("Is it Halden Foods now?", "2024-03-01")], "Who do I work for?", {}),
        ([BOTH[0], ("My cousin Ben is at Halden Foods", "2024-03-01")], "Who do I work for?", {}),
    ],
    ids=["any", "vectors alone", "one day", "a question", "somebody else's"],
)
def test_otherwise_nothing_moves(
    place: Path, said: list[tuple[str, str]], question: str, given: dict[str, Any]
) -> None:
    plain = order(place, said, question, **{"prefer": "any"} | given)
    assert order(place.with_name("again"), said, question, **given) == plain


def test_another_speaker_contradicts_nobody(place: Path) -> None:
    with Memory(place, model=load_bundle()) as memory:
        for note in NOTES:
            memory.add({"role": "user", "name": "Ana", "content": note, "created_at": "2023-06-01"})
        for name, (text, day) in zip(("Ana", "Bob"), BOTH, strict=True):
            memory.add({"role": "user", "name": name, "content": text, "created_at": day})
        hits = memory.recall("Who do I work for?", k=8, now=NOW)
        assert next(hit.text for hit in hits if hit.text in (OLD, NEW)) == OLD


def test_what_contradicts_itself_about_something_else_does_not_come_first(place: Path) -> None:
    diet = [
        ("I am vegetarian.", "2023-06-15"),
        ("I eat fish again, so no longer vegetarian.", "2024-02-01"),
    ]
    weights = [
        (f"My weight is {kg} kg.", day)
        for kg, day in [(82, "2023-01-05"), (79, "2023-07-05"), (76, "2024-06-05")]
    ]
    found = order(place, [*diet, *weights], "am I vegetarian?")
    assert found[:2] == [diet[1][0], diet[0][0]]


WEIGHT = Asked.of("How much do I weigh?")


def candidate(id: int, text: str, day: int, vector: Sequence[float], near: float) -> Candidate:
    said = Said(b"", "message", "user", None, None, day * 86_400_000_000, None, None, None)
    wording = Wording(text, np.array(vector, np.float32) / np.linalg.norm(vector))
    return Candidate.of(id, near, 0.0, said, wording)


def test_the_signals_of_a_pair() -> None:
    old = candidate(1, "I weigh 91 kg", 1, (1, 0), 0.9)
    new = candidate(2, "Stepped on the scales: now 95 kg", 2, (1, 0), 0.7)
    other = candidate(3, "My cousin Ben weighs " + "a lot and " * 10, 1, (0, 1), 0.4)
    found = signals(WEIGHT, old, new, [old, new, other])
    assert found.near == 0.9
    assert found.gap == pytest.approx(0.7)
    third = candidate(4, "I weigh 99 kg", 3, (1, 0), 0.8)
    assert signals(WEIGHT, old, new, [old, new, other, third]).gap == pytest.approx(0.3)
    assert found.alike == pytest.approx(0.5)
    assert (found.changes, found.same, found.different) == (1.0, 1.0, 0.0)
    assert (found.own_old, found.own_new) == (1.0, 0.0)
    assert (found.long_new, found.foreign_new) == (0.0, 0.0)
    stranger = signals(WEIGHT, old, other, [old, new, other])
    assert (stranger.long_new, stranger.foreign_new, stranger.different) == (1.0, 1.0, 0.0)
    cousin = Asked.of("What does my cousin weigh?")
    assert signals(cousin, old, other, [old, new, other]).foreign_new == 0.0


@pytest.mark.parametrize("slots", [False, True])
def test_more_of_what_tells_is_more_likely(slots: bool) -> None:
    nothing = Signals(*(0.0 for _ in Signals._fields))

    def likely(**given: float) -> float:
        return probability(nothing._replace(**given), slots=slots)

    assert 0.0 < likely() < 0.1
    for name in ("near", "gap", "alike", "changes", "contradiction", *(SLOTS[1:] if slots else ())):
        assert likely(**{name: 1.0}) > likely()
    for name in ("foreign_new", "long_old", "different", "begins_instead", "names_instead"):
        assert likely(**{name: 1.0}) < likely()


def test_without_slots_their_signals_do_not_count() -> None:
    some = Signals(*(0.5 for _ in Signals._fields))
    none = some._replace(**dict.fromkeys(SLOTS, 0.0))
    assert probability(some, slots=False) == probability(none, slots=False)
    assert probability(some, slots=True) != probability(none, slots=True)


def test_slots_are_those_of_the_shipped_bundle() -> None:
    assert knows_slots(load_bundle().fingerprint)
    assert not knows_slots("another")


def test_what_begins_with_another_thing_says_so() -> None:
    old = candidate(1, "The dishwasher is a Miele", 1, (1, 0), 0.9)
    fridge = candidate(2, "The new fridge is a Liebherr", 2, (1, 0), 0.9)
    found = signals(Asked.of("What make is the dishwasher?"), old, fridge, [old, fridge])
    assert (found.begins, found.begins_instead, found.names) == (1.0, 1.0, 0.0)
    assert found.lost > 0 == found.lost_unchanged
    bought = candidate(2, "Bought a Bosch as our dishwasher", 2, (1, 0), 0.9)
    found = signals(Asked.of("What make is the dishwasher?"), old, bought, [old, bought])
    assert (found.begins, found.names, found.lost) == (0.0, 0.0, 0.0)


def test_what_has_no_embedding_is_not_alike() -> None:
    old = candidate(1, "I weigh 91 kg", 1, (1, 0), 0.9)
    new = candidate(2, "I weigh 95 kg", 2, (1, 0), 0.9)
    bare = Candidate.of(2, 0.9, 0.0, new.said, Wording("I weigh 95 kg", None))
    assert signals(WEIGHT, old, new, [old, new]).alike == 0.0
    assert signals(WEIGHT, old, bare, [old, bare]).alike == 0.0


@pytest.mark.parametrize(
    ("old", "new", "question"),
    [
        (
            "The wifi password is hunter2!",
            "Bought size 42 hiking boots.",
            "what's my wifi password?",
        ),
        (
            "Dr. No is my dentist; next visit 14 July at 9:40.",
            "Meeting with Acme moved from Tuesday to Thursday.",
            "When do I see the dentist?",
        ),
        (
            "I paid $1,250.50 rent in June.",
            "Meeting with Acme moved from Tuesday to Thursday.",
            "how much is my rent?",
        ),
    ],
    ids=["boots", "meeting", "rent"],
)
def test_a_later_change_of_something_else_supersedes_nothing(
    place: Path, old: str, new: str, question: str
) -> None:
    assert order(place, [(old, "2023-02-01"), (new, "2024-03-01")], question)[0] == old
