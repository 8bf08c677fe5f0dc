"""Texts that are compared in pairs are read once, and compared as if each pair were read anew."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest

from agentmem.statements import readings
from agentmem.statements.compare import contradiction, is_about
from agentmem.statements.read import read_statement
from agentmem.statements.readings import Readings
from agentmem.statements.siblings import told_apart

TEXTS = (
    "I live in Paris.",
    "I moved to Rome last week!",
    "The garage code is 4417.",
    "They changed the garage code: 9031.",
    "The code of the cellar is 8825.",
    "My sister Eva lives in Bergen now.",
    "My dentist is Dr. Mayer.",
    "When I was a child I lived in Lyon.",
)
QUESTIONS = ("Where do I live?", "What is the garage code?", "Who is my dentist?")


def test_what_is_kept_makes_no_difference() -> None:
    kept = Readings()
    for question in QUESTIONS:
        for old, new in permutations(TEXTS, 2):
            assert is_about(question, old, new, kept) is is_about(question, old, new)
            stated = read_statement(old), read_statement(new)
            if stated[0] and stated[1]:
                both = stated[0], stated[1]
                assert contradiction(*both, readings=kept) == contradiction(*both)


def test_each_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()

    def counted(text: str) -> object:
        read[text] += 1
        return told_apart(text)

    monkeypatch.setattr(readings, "told_apart", counted)
    kept = Readings()
    for old, new in permutations(TEXTS, 2):
        is_about(QUESTIONS[0], old, new, kept)
    assert read == dict.fromkeys(TEXTS, 1)
