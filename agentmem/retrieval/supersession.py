"""How likely one memory supersedes an earlier one, where both may answer a question.

"I weigh 91 kg" and "Stepped on the scales: 95 kg" share no word. What tells is how both stand out
from what else was found, how alike they are, whether the later one says that something changed,
whose they are, and whether both have a number or a name. ``supersession.json`` beside this file
holds the weights of a logistic regression on these signals; ``python -m benchmarks.supersession``
fits it on the first half of changing facts and of dialogues, and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from agentmem.retrieval.calibration import sigmoid
from agentmem.statements.compare import contradiction, same_owner
from agentmem.statements.read import Statement, is_first_person, read_statement, values_in
from agentmem.statements.words import CHANGE
from agentmem_storage.records import Said

FILE = "supersession.json"
# Code points. A longer text says more than one thing.
_LONG = 90
_WORD = regex.compile(r"[\p{L}\p{M}\d]+")


class Wording(NamedTuple):
    """The exact text of a chunk, and its embedding (K,), unit norm; None if that is damaged."""

    text: str
    embedding: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A memory that may answer the question.

    Attributes:
        id: Its chunk.
        vector: Its cosine as the search normalized it, 0 to 1.
        lexical: Its lexical score, likewise.
        said: When, and by whom.
        wording: Its text and embedding.
        statement: What it states, if it is a short statement.
    """

    id: int
    vector: float
    lexical: float
    said: Said
    wording: Wording
    statement: Statement | None

    @classmethod
    def of(cls, id: int, vector: float, lexical: float, said: Said, wording: Wording) -> Candidate:
        """A candidate, with its statement read."""
        return cls(id, vector, lexical, said, wording, read_statement(wording.text))


class Signals(NamedTuple):
    """What a question and two of the memories found have in common.

    Attributes:
        near: How near the older one is to the question, 0 to 1.
        gap: By how much both are nearer than any other of those compared.
        alike: The cosine of both, above the median of the older one's with the others.
        words: The lower of their lexical scores.
        changes: Whether the newer one has a word of change.
        own_old: Whether the older one is in the first person exactly if the question is.
        own_new: Whether the newer one is.
        contradiction: What `agentmem.statements.compare.contradiction` gives.
        owner: Whether both name the same owners.
        same: Whether both have a number, or both have a name.
        different: Whether only one of them has any.
        long_old: Whether the older one is long.
        long_new: Whether the newer one is.
        foreign_old: Whether the older one has an owner whom the question does not name.
        foreign_new: Whether the newer one has.
    """

    near: float
    gap: float
    alike: float
    words: float
    changes: float
    own_old: float
    own_new: float
    contradiction: float
    owner: float
    same: float
    different: float
    long_old: float
    long_new: float
    foreign_old: float
    foreign_new: float


def signals(question: str, old: Candidate, new: Candidate, found: Sequence[Candidate]) -> Signals:
    """The signals of two memories.

    Args:
        question: The question.
        old: The earlier one.
        new: The later one.
        found: All that are compared, both among them.
    """
    others = [one for one in found if one is not old and one is not new]
    nearest = max((one.vector for one in others), default=0.0)
    old_values, new_values = values_in(old.wording.text), values_in(new.wording.text)
    asks_own = is_first_person(question)
    stated = (old.statement, new.statement) if old.statement and new.statement else None
    return Signals(
        near=old.vector,
        gap=min(old.vector, new.vector) - nearest,
        alike=_alike(old, new, found),
        words=min(old.lexical, new.lexical),
        changes=float(CHANGE.search(new.wording.text) is not None),
        own_old=float(is_first_person(old.wording.text) is asks_own),
        own_new=float(is_first_person(new.wording.text) is asks_own),
        contradiction=contradiction(*stated) if stated else 0.0,
        owner=float(stated is not None and same_owner(*stated)),
        same=float(not old_values.isdisjoint(new_values)),
        different=float(bool(old_values) is not bool(new_values)),
        long_old=float(len(old.wording.text) > _LONG),
        long_new=float(len(new.wording.text) > _LONG),
        foreign_old=_foreign(old, question),
        foreign_new=_foreign(new, question),
    )


def probability(found: Signals) -> float:
    """How likely the later memory supersedes the earlier one, 0 to 1."""
    weights = _content()["weights"]
    return sigmoid(
        _content()["bias"] + sum(weights[name] * one for name, one in found._asdict().items())
    )


def least_probability() -> float:
    """From which probability on a memory counts as superseding another."""
    least: float = _content()["least"]
    return least


def _alike(old: Candidate, new: Candidate, found: Sequence[Candidate]) -> float:
    mine = old.wording.embedding
    if mine is None or new.wording.embedding is None:
        return 0.0
    cosines = [
        float(mine @ one.wording.embedding)
        for one in found
        if one is not old and one.wording.embedding is not None
    ]
    return float(mine @ new.wording.embedding) - float(np.median(cosines))


def _foreign(one: Candidate, question: str) -> float:
    owners = one.statement.owners if one.statement is not None else frozenset()
    return float(bool(owners) and owners.isdisjoint(_WORD.findall(question.lower())))


@cache
def _content() -> dict[str, Any]:
    text = files("agentmem.retrieval").joinpath(FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
