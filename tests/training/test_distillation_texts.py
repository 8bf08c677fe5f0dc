"""The texts to distill: as many of each kind as requested, without duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentmem.training.data.evidence import Evidence
from agentmem.training.embedder.distillation_texts import choose_texts

LINES = [f"This is what was said in line {number}." for number in range(60)]


def asked(source: str, count: int) -> list[Evidence]:
    """Questions with a right piece and a wrong one, all of them numbered."""

    def one(number: int) -> Evidence:
        pieces = (f"{source} right {number}", f"{source} wrong {number}")
        return Evidence(source, f"{source} asks {number}?", pieces, (0,), (1,))

    return [one(number) for number in range(count)]


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Two sources with thirty turns each, one of them with names, and turns too short to teach."""

    def talk(source: str, lines: list[str], name: str | None) -> dict[str, Any]:
        messages = [{"content": line} | ({"name": name} if name else {}) for line in lines]
        return {"source": source, "messages": [*messages, {"content": "Oh, I see!"}]}

    file = tmp_path / "talks.jsonl"
    records = [
        *(talk("named", LINES[start : start + 10], "Ana") for start in (0, 10, 20)),
        *(talk("plain", LINES[start : start + 10], None) for start in (30, 40, 50)),
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_no_more_of_each_than_was_asked_for(talks: Path) -> None:
    questions = {"quiz": asked("quiz", 9), "exam": asked("exam", 3)}
    texts = choose_texts([talks], {"named": 12, "plain": 100, "unknown": 5}, questions, 4, 0)
    said = [text.removeprefix("Ana: ") for text in texts]
    assert sum(text in LINES[:30] for text in said) == 12
    assert {text for text in texts if text in LINES[30:]} == set(LINES[30:])
    for source, count in (("quiz", 4), ("exam", 3)):
        numbers = {text.split()[2].rstrip("?") for text in texts if text.startswith(f"{source} a")}
        right = {text.split()[2] for text in texts if text.startswith(f"{source} r")}
        wrong = {text.split()[2] for text in texts if text.startswith(f"{source} w")}
        assert len(numbers) == count
        assert wrong <= right == numbers
    assert "Oh, I see!" not in said


def test_some_turns_say_who_speaks_and_some_do_not(talks: Path) -> None:
    texts = choose_texts([talks], {"named": 30, "plain": 30}, {}, 0, 0)
    named = [text for text in texts if text.startswith("Ana: ")]
    assert 12 <= len(named) < 30
    assert {text.removeprefix("Ana: ") for text in texts} == set(LINES)


def test_some_questions_come_with_a_wrong_passage(talks: Path) -> None:
    texts = choose_texts([talks], {}, {"quiz": asked("quiz", 100)}, 100, 0)
    wrong = sum(text.startswith("quiz wrong") for text in texts)
    assert len(texts) == 200 + wrong
    assert 15 < wrong < 45


def test_texts_are_different_and_short(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    turns = [{"content": "the same four words"}] * 5 + [{"content": "very long " * 90}]
    file.write_text(json.dumps({"source": "talk", "messages": turns}))
    long = Evidence("quiz", "the same four words", ("piece " * 80,), (0,), ())
    texts = choose_texts([file], {"talk": 6}, {"quiz": [long, long]}, 2, 0)
    assert sorted(texts) == ["piece " * 50, "the same four words", "very long " * 30]


def test_the_seed_says_which(talks: Path) -> None:
    questions = {"quiz": asked("quiz", 40)}
    first, second, other = (
        choose_texts([talks], {"named": 9, "plain": 9}, questions, 9, seed) for seed in (3, 3, 4)
    )
    assert first == second
    assert set(first) != set(other)
