"""Which memories an answer of a reader drew on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentmem.context.hits import Hit
from agentmem_storage.text import normalized
from agentmem_storage.words.splitting import STOP_WORDS

Line = tuple[Hit, str]
"""A hit, and what a reader reads of it."""

# They say nothing of what an answer is about.
_EMPTY = STOP_WORDS | {"yes"}
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Citation:
    """A memory that an answer drew on.

    Attributes:
        id: The memory's id.
        share: How much of the answer, 0 to 1; the shares of an answer sum to 1. If its words are
            in no memory that was read, the relevance of the memory, as a share of all.
    """

    id: int
    share: float


def cite(answer: str, lines: Sequence[Line], shares: Sequence[float]) -> tuple[Citation, ...]:
    """The memories that an answer drew on, by descending share.

    Attention shows what was copied. An answer that copies nothing, such as "Yes", says nothing of
    where it is from: then the hits count as far as they are relevant to the question.

    Args:
        answer: Its text.
        lines: What was read.
        shares: Of each line, in the attention of the answer.
    """
    relevances = [hit.relevance for hit, _ in lines]
    if sum(relevances) > 0 and not _copies(answer, lines):
        shares = [one / sum(relevances) for one in relevances]
    of_ids = {hit.id: share for (hit, _), share in zip(lines, shares, strict=True) if share}
    return tuple(Citation(id, of_ids[id]) for id in sorted(of_ids, key=lambda id: -of_ids[id]))


def _copies(answer: str, lines: Sequence[Line]) -> bool:
    words = _words(answer) - _EMPTY
    return any(not words.isdisjoint(_words(line)) for _, line in lines)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(normalized(text)))
