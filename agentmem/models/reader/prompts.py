"""What a reader is asked, in plain words: the same in training and in use."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.models.reader.words import Words

# What a reader answers when the memories do not say.
UNKNOWN = "not in memory"


def label(words: Words, number: int) -> list[int]:
    """What a memory is called among others: its number, counted from 1."""
    return words.encode(f"Memory {number}:")


def regenerate_prompt(words: Words, number: int) -> list[int]:
    """Ask for a memory by its number, counted from 1."""
    return [*words.start, *label(words, number)]


def continue_prompt(words: Words, cue: Sequence[int]) -> list[int]:
    """Ask for what follows a cue (ids of the language model) in one of the memories."""
    return [*words.start, *words.encode("Continue:"), *cue]


def question_prompt(words: Words, question: str) -> list[int]:
    """Ask a question."""
    return [*words.start, *words.encode(f"Question: {question.strip()}\nAnswer:")]


def answer_ids(words: Words, answer: str) -> list[int]:
    """An answer as it follows `question_prompt`."""
    return [*words.encode(f" {answer.strip()}"), words.end]


def answer_text(words: Words, ids: Sequence[int]) -> str:
    """The text of generated ids, up to the end of the answer."""
    ids = list(ids)
    for mark in (words.end, words.pad):
        if mark in ids:
            ids = ids[: ids.index(mark)]
    return words.decode(ids).strip()
