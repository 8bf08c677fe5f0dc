"""Exercises from notebooks: what they ask is answered by what they show."""

from __future__ import annotations

from datetime import date
from itertools import islice
from random import Random
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.training.reader.notebooks import from_notebooks, read_notebooks
from tests.support.language_models import tiny_tokenizer


@pytest.fixture(scope="module")
def prompt() -> ReadingPrompt:
    return ReadingPrompt.of(tiny_tokenizer(), "Answer.")


def record(**changes: Any) -> dict[str, Any]:
    notes = [f"The locker at place {n} opens with 44{n:02}" for n in range(16)]
    questions = [
        {"question": f"place {n}, which code?", "answer": f"44{n:02}", "evidence": [n]}
        for n in range(16)
    ]
    questions += [
        {"question": "both?", "answer": "4400 and 4401", "evidence": [0, 1]},
        {"question": "any?", "answer": "locker", "evidence": [2, 3], "alternatives": True},
        {"question": "whose?", "answer": None},
    ]
    days = [date(2024, 1, n + 1).isoformat() for n in range(16)]
    return {
        "person": "Ana",
        "notes": [
            {"date": day, "speaker": "user" if n % 2 else "Bo", "text": text}
            for n, (day, text) in enumerate(zip(days, notes, strict=True))
        ],
        "questions": questions,
        **changes,
    }


def test_answers_are_in_the_sample(prompt: ReadingPrompt) -> None:
    exercises = list(islice(from_notebooks(read_notebooks([record()]), prompt, Random(1)), 300))
    asked = {True: 0, False: 0}
    varied = 0
    for exercise in exercises:
        memories = [prompt.tokenizer.decode(ids) for ids in exercise.memories]
        text = "\n".join(memories)
        assert len(set(memories)) == len(memories) <= 20
        assert 1 <= len(exercise.branches) <= 5
        for branch in exercise.branches:
            question = prompt.tokenizer.decode(branch.prompt)
            answer = prompt.tokenizer.decode(branch.target, skip_special_tokens=True).strip()
            absent = answer == NOT_IN_MEMORY
            asked[absent] += 1
            if "which code?" in question:
                place = question.partition("place ")[2].partition(",")[0].strip()
                there = [memory for memory in memories if f"place {place} " in memory]
                assert len(there) == (not absent)
                assert absent or there[0].strip().endswith(answer)
                varied += not absent and answer != f"44{int(place):02}"
            elif "both?" in question and not absent:
                assert all(code in text for code in answer.split(" and "))
            elif "whose?" in question:
                assert absent
    assert asked[True] > 50
    assert asked[False] > 150
    assert varied > 50


def test_the_same_seed_gives_the_same_exercises(prompt: ReadingPrompt) -> None:
    notebooks = read_notebooks([record(), record(person="Bo")])
    first = list(islice(from_notebooks(notebooks, prompt, Random(2)), 8))
    assert first == list(islice(from_notebooks(notebooks, prompt, Random(2)), 8))
    assert first != list(islice(from_notebooks(notebooks, prompt, Random(3)), 8))


@pytest.mark.parametrize(
    "question",
    [
        {"question": "?", "answer": "x", "evidence": [16]},
        {"question": "?", "answer": "x"},
        {"question": "?", "answer": None, "evidence": [1]},
        {"question": "?", "answer": "x", "evidence": "1", "extra": 0},
    ],
)
def test_a_damaged_notebook_is_refused(question: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="record 2"):
        read_notebooks([record(), record(questions=[question])])


def test_without_dates_no_date_is_asked_for(prompt: ReadingPrompt) -> None:
    questions = [{"question": "since when?", "answer": "1 January 2024", "evidence": [0]}]
    notebooks = read_notebooks([record(questions=questions)])
    for exercise in islice(from_notebooks(notebooks, prompt, Random(4)), 20):
        text = "".join(prompt.tokenizer.decode(ids) for ids in exercise.memories)
        assert "2024" in text
