"""A limit of relevance kept what no longer holds, and dropped what superseded it.

"I moved to Rome" has no word of "where do I live?", so its own relevance is low.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem import Memory

OTHERS = ["My cat is called Miso.", "Dentist on the third of June.", "I am allergic to peanuts."]


@pytest.fixture
def diary(tmp_path: Path) -> Memory:
    memory = Memory(tmp_path)
    memory.add(OTHERS)
    memory.add("I live in Paris.", created_at="2024-03-01")
    memory.add("I moved to Rome last week!", created_at="2025-02-01")
    return memory


def test_what_supersedes_a_hit_is_as_relevant(diary: Memory) -> None:
    with diary:
        hits = diary.recall("Where do I live?")
        assert [hit.text for hit in hits[:2]] == ["I moved to Rome last week!", "I live in Paris."]
        assert hits[0].relevance >= hits[1].relevance > 0.1
        limited = diary.recall("Where do I live?", min_relevance=hits[1].relevance)
        assert limited[0].text == "I moved to Rome last week!"


def test_others_keep_their_own(diary: Memory) -> None:
    with diary:
        found = {hit.text: hit.relevance for hit in diary.recall("Where do I live?", k=5)}
        assert max(found[text] for text in OTHERS) < 0.1


NOTES = [
    "I report to Priyanka since the reorg.",
    "Standup is at 9:45, retro every other Friday.",
    "OKR for Q3: cut churn to 3%.",
    "The NDA with Acme was signed on 5/5.",
    "Bitcoin seed backup is in the bank vault.",
    "My ex-wife has the kids on even weeks.",
    "I passed the driving test!",
]


def test_what_only_resembles_a_change_neither_comes_first_nor_is_relevant(tmp_path: Path) -> None:
    """Among nine memories, two are soon the nearest to each other, whatever they are about."""
    with Memory(tmp_path) as memory:
        memory.add(["My shoe size is 42.5 (EU).", "I bench 80 kg now.", *NOTES])
        hits = memory.recall("What's my shoe size?", k=2)
        assert hits[0].text == "My shoe size is 42.5 (EU)."
        assert hits[1].relevance < 0.1 < hits[0].relevance


@pytest.mark.parametrize(
    ("old", "new", "question"),
    [
        ("I have 2 kids.", "I have 3 bikes now.", "How many kids do I have?"),
        ("The office opens at 9.", "The gym opens at 6 now.", "When does the office open?"),
        ("Room 12 is reserved for Ana.", "Room 14 is reserved for Ben now.", "Who has room 12?"),
        ("We meet on Mondays.", "The choir meets on Tuesdays now.", "When do we meet?"),
    ],
)
def test_what_is_said_of_another_thing_supersedes_nothing(
    tmp_path: Path, old: str, new: str, question: str
) -> None:
    with Memory(tmp_path) as memory:
        memory.add(old, created_at="2026-01-01")
        memory.add(new, created_at="2026-03-01")
        hits = memory.recall(question)
        assert [hit.text for hit in hits] == [old, new]
        assert hits[1].relevance < hits[0].relevance


@pytest.mark.parametrize("query", ["Paris", "live Paris"])
def test_keywords_find_what_has_them(diary: Memory, query: str) -> None:
    with diary:
        assert diary.recall(query)[0].text == "I live in Paris."
