"""Scores of answers: word F1, exact match, and right or wrong on the personal facts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

Verdict = Literal["right", "wrong", "abstained"]

# A longer answer names the whole memory, whatever was asked.
_LONGEST = 40
_ARTICLES = frozenset({"a", "an", "the"})
_SEPARATOR = re.compile(r"(?<=\d)[.,:](?=\d)")


def words(text: str) -> list[str]:
    """The words that are compared: NFKC, lower case, no punctuation, no articles.

    A point, comma or colon between digits stays, as a point: "9:40" is "9.40" and not "9".
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    folded = _SEPARATOR.sub("\0", folded)
    spaced = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in folded)
    return [word for word in spaced.replace("\0", ".").split() if word not in _ARTICLES]


def f1(answer: str, expected: Sequence[str]) -> float:
    """Word F1 (SQuAD, Rajpurkar et al. 2016), the best over the expected answers."""
    given = words(answer)
    best = 0.0
    for one in expected:
        wanted = words(one)
        if given == wanted:
            return 1.0
        shared = sum((Counter(given) & Counter(wanted)).values())
        if shared:
            best = max(best, 2 * shared / (len(given) + len(wanted)))
    return best


def exact(answer: str, expected: Sequence[str]) -> bool:
    """Whether an answer equals an expected one, word for word."""
    return any(words(answer) == words(one) for one in expected)


def judge(
    answer: str | None, *, answerable: bool, expected: Sequence[str], wrong: Sequence[str] = ()
) -> Verdict:
    """Judge an answer as a person would.

    Args:
        answer: None if the system abstained.
        answerable: Whether the memories contain an answer.
        expected: Phrases of which one must occur.
        wrong: Phrases that must not occur, unless inside an expected one: values of near misses.

    Returns:
        An unanswerable question is right if the system abstained, else wrong; an answerable one is
        abstained where it did.
    """
    if answer is None:
        return "abstained" if answerable else "right"
    if not answerable or len(answer.split()) > _LONGEST:
        return "wrong"
    given = words(answer)
    accepted = [run for phrase in expected for run in _runs(given, phrase)]
    if not accepted:
        return "wrong"
    for phrase in wrong:
        for start, end in _runs(given, phrase):
            if not any(first <= start and end <= last for first, last in accepted):
                return "wrong"
    return "right"


def interval(values: Sequence[float], *, seed: int, draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    if not values:
        return 0.0, 0.0
    random = np.random.default_rng(seed)
    array = np.asarray(values, dtype=np.float64)
    means = array[random.integers(len(array), size=(draws, len(array)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _runs(given: list[str], phrase: str) -> list[tuple[int, int]]:
    run = words(phrase)
    size = len(run)
    return [
        (start, start + size)
        for start in range(len(given) - size + 1)
        if run and given[start : start + size] == run
    ]
