"""Pairs of texts that belong together: a question and its passage, a turn and the next one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentmem.corpus import read_records
from agentmem.models.tokenizer import ByteTokenizer

Ids = NDArray[np.uint16]
Pair = tuple[Ids, Ids]


def question_pairs(
    files: Sequence[Path], tokenizer: ByteTokenizer, *, max_tokens: int
) -> list[Pair]:
    """Questions and the stretch of their context that answers them.

    A context longer than ``max_tokens`` is cut to a stretch around the first answer found in it;
    unanswerable questions are left out.
    """
    questions: list[str] = []
    passages: list[str] = []
    for file in files:
        for record in read_records(file):
            if record["kind"] != "unanswerable":
                questions.append(record["question"])
                passages.append(_stretch(record["context"], record["answers"], max_tokens))
    return _encode(questions, passages, tokenizer, max_tokens)


def turn_pairs(files: Sequence[Path], tokenizer: ByteTokenizer, *, max_tokens: int) -> list[Pair]:
    """Neighbouring turns of conversations, of four words and more each."""
    first: list[str] = []
    second: list[str] = []
    for file in files:
        for record in read_records(file):
            turns = [m["content"] for m in record["messages"] if m["content"].count(" ") >= 3]
            # Every other pair: neighbouring pairs share a turn.
            for one, other in zip(turns[::2], turns[1::2], strict=False):
                first.append(one[: 8 * max_tokens])
                second.append(other[: 8 * max_tokens])
    return _encode(first, second, tokenizer, max_tokens)


def _stretch(context: str, answers: Sequence[str], max_tokens: int) -> str:
    """About ``max_tokens`` tokens of a context, around its first answer."""
    width = 4 * max_tokens  # code points; a token has three to four
    if len(context) <= width:
        return context
    found = [context.find(answer) for answer in answers if answer]
    at = next((place for place in found if place >= 0), 0)
    start = max(0, min(at - width // 2, len(context) - width))
    return context[start : start + width]


def _encode(
    left: Sequence[str], right: Sequence[str], tokenizer: ByteTokenizer, max_tokens: int
) -> list[Pair]:
    def ids(texts: Sequence[str]) -> list[Ids]:
        rows = tokenizer.encode_batch(texts)
        return [np.array(row[:max_tokens], dtype=np.uint16) for row in rows]

    return [(a, b) for a, b in zip(ids(left), ids(right), strict=True) if len(a) and len(b)]
