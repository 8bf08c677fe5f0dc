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


@pytest.mark.parametrize("query", ["Paris", "live Paris"])
def test_keywords_find_what_has_them(diary: Memory, query: str) -> None:
    with diary:
        assert diary.recall(query)[0].text == "I live in Paris."
