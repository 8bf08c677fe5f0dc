"""How right a written answer is: token by token, and as SQuAD scores answers."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from agentmem.models.reader.prompts import UNKNOWN

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokens_right(made: Sequence[int], wanted: Sequence[int]) -> float:
    """Share of the wanted ids that stand in their own places; what is missing is wrong.

    Raises:
        ValueError: nothing is wanted.
    """
    if not wanted:
        raise ValueError("no token is wanted, so none can be right")
    return sum(a == b for a, b in zip(made, wanted, strict=False)) / len(wanted)


def normalised(text: str) -> str:
    """A text without case, punctuation, articles and superfluous spaces, as SQuAD compares it.

    A text of nothing else (the answer "A") stays what it is, in lower case.
    """
    plain = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    return " ".join(plain.split()) or text.lower().strip()


def says_unknown(text: str) -> bool:
    """Whether an answer is that the memories do not say."""
    return normalised(text) == normalised(UNKNOWN)


def answer_scores(text: str, answers: Sequence[str]) -> dict[str, float]:
    """``f1`` and ``exact`` of an answer: the best over all that count as right.

    Args:
        text: What was answered.
        answers: What counts as right; none at all: the question has no answer, and only "not in
            memory" is right. To a question that has one, it is always wrong.
    """
    unknown = says_unknown(text)
    if not answers or unknown:
        return dict.fromkeys(("f1", "exact"), float(unknown and not answers))
    made = normalised(text)
    return {
        "f1": max(_f1(made, normalised(answer)) for answer in answers),
        "exact": float(any(made == normalised(answer) for answer in answers)),
    }


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of figures over rows that all have the same ones.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("no rows to take a mean over")
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def _f1(made: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it stands there."""
    one, two = made.split(), wanted.split()
    same = sum((Counter(one) & Counter(two)).values())
    return 2 * same / (len(one) + len(two)) if same else 0.0
