"""Questions over contexts, with their answers, for training and evaluating a reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.corpus import read_records
from agentmem.models.tokenizer import ByteTokenizer

# The context itself is the answer: for retrieval, not for reading.
_NOT_READING = ("passage",)
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One question.

    Attributes:
        context: Token ids of the bundle, uint16 (T,).
        turns: Where its turns begin, if it is a dialogue; else (0,).
        question: As it is asked.
        answer: The first of its answers; None if the context does not say.
        answers: All that count as right.
        kind: Of the question set.
    """

    context: NDArray[np.uint16]
    turns: tuple[int, ...]
    question: str
    answer: str | None
    answers: tuple[str, ...]
    kind: str


def read_questions(
    files: Sequence[Path],
    tokenizer: ByteTokenizer,
    *,
    max_context: int,
    max_answer_chars: int = 120,
) -> list[Asked]:
    """Questions whose context and answer are short enough, in the order of the files.

    Args:
        files: Question files of a corpus.
        tokenizer: The bundle's.
        max_context: Longest context, tokens.
        max_answer_chars: Longest answer, code points.
    """
    found: list[Asked] = []
    for records in _blocks(files):
        parts = [_turns(record) for record in records]
        ids = iter(tokenizer.encode_batch([turn for turns in parts for turn in turns]))
        for record, turns in zip(records, parts, strict=True):
            coded = [next(ids) for _ in turns]
            answers = tuple(answer for answer in record["answers"] if answer.strip())
            answer = answers[0] if answers else None
            length = sum(map(len, coded))
            if 0 < length <= max_context and len(answer or "") <= max_answer_chars:
                context = np.concatenate([np.array(turn, dtype=np.uint16) for turn in coded])
                starts = (0, *accumulate(len(turn) for turn in coded[:-1]))
                found.append(
                    Asked(context, starts, record["question"], answer, answers, record["kind"])
                )
    return found


def _turns(record: dict[str, Any]) -> list[str]:
    """The lines of a dialogue, each with its line break; the whole of anything else."""
    context: str = record["context"]
    if not record["kind"].startswith("dialogue"):
        return [context]
    return [line for line in context.splitlines(keepends=True) if line.strip()] or [context]


def _blocks(files: Sequence[Path]) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    for file in files:
        for record in read_records(file):
            if record["kind"] not in _NOT_READING:
                block.append(record)
            if len(block) >= _AT_ONCE:
                yield block
                block = []
    if block:
        yield block
