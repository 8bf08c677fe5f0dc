"""How likely one memory supersedes an earlier one, where both may answer a question.

"I weigh 91 kg" and "Stepped on the scales: 95 kg" share no word. What tells is how both stand out
from what else was found, how alike they are, whether the later one says that something changed,
whose they are, whether both have a number or a name, and whether the later one is about the thing
that the question names: "the new fridge is a Liebherr" resembles "the dishwasher is a Miele" more
than two statements of one weight resemble each other. ``supersession.json`` beside this file holds
the weights of a logistic regression on these signals; ``python -m benchmarks.supersession`` fits it
on facts that change, on facts that resemble others, and on dialogues, and writes it.

Slots are those of one embedder (see `agentmem.retrieval.slots`). For others there are weights of
the signals without them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.retrieval.calibration import sigmoid
from agentmem.retrieval.slots import slot
from agentmem.statements.compare import contradiction, same_owner, told_in
from agentmem.statements.read import (
    Statement,
    is_first_person,
    read_statement,
    stems_in,
    values_in,
)
from agentmem.statements.readings import Readings
from agentmem.statements.things import Things, things_in
from agentmem.statements.words import CHANGE
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.records import Said

FILE = "supersession.json"
# How near the question the newer of two must be, from the farthest candidate to the nearest, or
# else how alike the older one: "bought boots in size 42" is later than "the wifi password is
# hunter2", and no answer to what that is. The facts that the weights were fitted on are nearer.
LEAST_NEAR, LEAST_ALIKE = 0.4, 0.1
# Code points. A longer text says more than one thing.
_LONG = 90
_WORD = unicode_pattern(r"[\p{L}\p{M}\d]+")
_Vector = NDArray[np.float32]
# The signals of slots.
SLOTS = ("slot_old", "slot_new", "slot_both", "slot_gap")


class Wording(NamedTuple):
    """The exact text of a chunk, and its embedding (K,), unit norm; None if that is damaged."""

    text: str
    embedding: _Vector | None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question, as memories are compared with it.

    Attributes:
        text: The question.
        own: Whether it is in the first person.
        told: Stems of the words that tell what it is about.
        stems: Stems of all of its words.
        slot: What it asks a value of, (D,), unit norm; None if slots do not count.
        readings: Of the texts that are compared with it.
    """

    text: str
    own: bool
    told: frozenset[str]
    stems: frozenset[str]
    slot: _Vector | None
    readings: Readings = field(default_factory=Readings)

    @classmethod
    def of(cls, text: str, embedding: _Vector | None = None) -> Asked:
        """A question, with its words read.

        Args:
            text: The question.
            embedding: Its embedding (K,); None if slots do not count.
        """
        asked = None if embedding is None else slot(embedding)
        return cls(text, is_first_person(text), told_in(text), stems_in(text), asked)


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
        own: Whether it is in the first person.
        changes: Whether it has a word of change.
        values: Which kinds of values it has: ``"number"``, ``"name"``.
        stems: Stems of all of its words.
        things: What it names.
        slot: What it states a value of, (D,), unit norm; None if slots do not count.
    """

    id: int
    vector: float
    lexical: float
    said: Said
    wording: Wording
    statement: Statement | None
    own: bool
    changes: bool
    values: frozenset[str]
    stems: frozenset[str]
    things: Things
    slot: _Vector | None

    @classmethod
    def of(
        cls,
        id: int,
        vector: float,
        lexical: float,
        said: Said,
        wording: Wording,
        *,
        slots: bool = False,
    ) -> Candidate:
        """A candidate, with its statement and its words read.

        Args:
            id: Its chunk.
            vector: Its normalized cosine.
            lexical: Its lexical score.
            said: When, and by whom.
            wording: Its text and embedding.
            slots: Whether slots count.
        """
        text, embedding = wording
        return cls(
            id,
            vector,
            lexical,
            said,
            wording,
            read_statement(text),
            is_first_person(text),
            CHANGE.search(text) is not None,
            frozenset(values_in(text)),
            stems_in(text),
            things_in(text),
            slot(embedding) if slots and embedding is not None else None,
        )


class Signals(NamedTuple):
    """What a question and two of the memories found have in common.

    Attributes:
        near: How near the older one is to the question, 0 to 1.
        gap: By how much both are nearer than any other of those compared but the nearest, which
            may state a third value.
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
        lost: The share of the question's words that the older one has and the newer one has not.
        lost_unchanged: That, if the newer one has no word of change.
        begins: Whether the newer one begins with a thing of which neither the question nor the
            older one says anything.
        begins_instead: That, if a thing of the older one that the question names is lost.
        names: Whether the newer one names such a thing later on.
        names_instead: That, likewise.
        slot_old: The cosine of the slots of the older one and the question, above the median of
            the others'.
        slot_new: Likewise of the newer one.
        slot_both: The cosine of the slots of both, above the median of the older one's with the
            others.
        slot_gap: By how much the slots of both are nearer to the question's than any other but
            the nearest, which may state a third value.
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
    lost: float
    lost_unchanged: float
    begins: float
    begins_instead: float
    names: float
    names_instead: float
    slot_old: float
    slot_new: float
    slot_both: float
    slot_gap: float


def signals(asked: Asked, old: Candidate, new: Candidate, found: Sequence[Candidate]) -> Signals:
    """The signals of two memories.

    Args:
        asked: The question.
        old: The earlier one.
        new: The later one.
        found: All that are compared, both among them.
    """
    others = [one for one in found if one is not old and one is not new]
    stated = (old.statement, new.statement) if old.statement and new.statement else None
    lost = asked.told & old.stems - new.stems
    share = len(lost) / len(asked.told) if asked.told else 0.0
    known = asked.stems | old.stems
    begins, names = bool(new.things.first - known), bool(new.things.others - known)
    instead = not lost.isdisjoint(old.things.first | old.things.others)
    return Signals(
        near=old.vector,
        gap=min(old.vector, new.vector) - _second([one.vector for one in others]),
        alike=_alike(old, new, found),
        words=min(old.lexical, new.lexical),
        changes=float(new.changes),
        own_old=float(old.own is asked.own),
        own_new=float(new.own is asked.own),
        contradiction=contradiction(*stated, readings=asked.readings) if stated else 0.0,
        owner=float(stated is not None and same_owner(*stated)),
        same=float(not old.values.isdisjoint(new.values)),
        different=float(bool(old.values) is not bool(new.values)),
        long_old=float(len(old.wording.text) > _LONG),
        long_new=float(len(new.wording.text) > _LONG),
        foreign_old=_foreign(old, asked.text),
        foreign_new=_foreign(new, asked.text),
        lost=share,
        lost_unchanged=0.0 if new.changes else share,
        begins=float(begins),
        begins_instead=float(begins and instead),
        names=float(names),
        names_instead=float(names and instead),
        **_of_slots(asked, old, new, others),
    )


def probability(found: Signals, *, slots: bool) -> float:
    """How likely the later memory supersedes the earlier one, 0 to 1.

    Args:
        found: Their signals.
        slots: Whether slots count.
    """
    fitted = _content()["slots" if slots else "words"]
    known = found._asdict()
    return sigmoid(
        fitted["bias"] + sum(weight * known[name] for name, weight in fitted["weights"].items())
    )


def least_probability() -> float:
    """From which probability on a memory counts as superseding another."""
    least: float = _content()["least"]
    return least


def knows_slots(fingerprint: str) -> bool:
    """Whether slots were fitted on the embeddings of this model."""
    return bool(_content()["model"] == fingerprint)


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


def _of_slots(
    asked: Asked, old: Candidate, new: Candidate, others: Sequence[Candidate]
) -> dict[str, float]:
    if asked.slot is None or old.slot is None or new.slot is None:
        return dict.fromkeys(SLOTS, 0.0)
    own = [one.slot for one in others if one.slot is not None]
    to_asked = [float(one @ asked.slot) for one in own]
    to_old = [float(one @ old.slot) for one in own]
    middle = _median(to_asked)
    of_old, of_new = float(old.slot @ asked.slot), float(new.slot @ asked.slot)
    return {
        "slot_old": of_old - middle,
        "slot_new": of_new - middle,
        "slot_both": float(old.slot @ new.slot) - _median(to_old),
        "slot_gap": min(of_old, of_new) - _second(to_asked),
    }


def _second(values: Sequence[float]) -> float:
    """The second of some values in descending order; 0 if there is none."""
    return sorted(values)[-2] if len(values) > 1 else 0.0


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0


def _foreign(one: Candidate, question: str) -> float:
    owners = one.statement.owners if one.statement is not None else frozenset()
    return float(bool(owners) and owners.isdisjoint(_WORD.findall(question.lower())))


@cache
def _content() -> dict[str, Any]:
    text = files("agentmem.retrieval").joinpath(FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
