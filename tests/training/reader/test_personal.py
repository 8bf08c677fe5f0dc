"""Synthetic personal memories: reproducible, and answers are found in their evidence."""

from __future__ import annotations

import hashlib
from itertools import islice

import pytest

from agentmem.training.reader.personal import DataError, exercises, inventory, traced
from agentmem.training.reader.personal.templates import TemplateReader


def test_the_same_seed_gives_the_same() -> None:
    """The digest stands for the data that readers were trained with."""
    digest = hashlib.sha256()
    for made in islice(exercises(0), 200):
        memories = tuple((m.date, m.speaker, m.text) for m in made.memories)
        digest.update(repr((memories, made.questions)).encode())
    assert digest.hexdigest() == "b7f2fe83ba11b3d9c48d8dee87c34b996068e64d4874c1dc4515e018dd885c2a"


def test_answers_are_in_the_evidence() -> None:
    unknown = 0
    for made, traces, _ in islice(traced(1), 150):
        assert len(traces) == len(made.questions) >= 4
        for (question, answer, evidence), trace in zip(made.questions, traces, strict=True):
            assert question.strip()
            if answer is None:
                unknown += 1
                assert evidence == ()
                continue
            assert evidence
            texts = " ".join(made.memories[index].text for index in evidence)
            if answer not in ("Yes", "No") and trace.attribute != "day":
                assert all(part.lower() in texts.lower() for part in answer.split(" and "))
    assert unknown > 50


def test_it_is_varied() -> None:
    counts = inventory()
    assert counts["frames"] > 100
    assert counts["question forms"] > 1000


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{a|b", "missing '}'"),
        ("a]", "unexpected ']'"),
        ("<nowhere>", "neither a variable nor a pool"),
        ("<#3>", "is not a range"),
        ("<open", "stray character"),
    ],
)
def test_templates_that_break_a_rule(template: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TemplateReader({}).read(template, frozenset(), "here")
