"""The cases to fit on: pairs of an older and a newer memory among the best hits of a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.context.lookup import read_wordings
from agentmem.retrieval.fusion import Scored
from agentmem.retrieval.present import without_now
from agentmem.retrieval.recency import (
    COMPARED_BY_TIME,
    asks_how_it_is,
    candidates,
    may_supersede,
)
from agentmem.retrieval.repeats import Group
from agentmem.retrieval.supersession import Asked, Candidate, Signals, signals
from agentmem.retrieval.tense import When, are_keywords, when_asked
from agentmem.statements.compare import is_about
from benchmarks.kinds.changes import changes, other_changes, siblings
from benchmarks.kinds.chats import chats
from benchmarks.kinds.collection import HALVES, Collection, Half, Question, questions_of
from benchmarks.kinds.kept import filled
from benchmarks.kinds.ours import Indices

# What is asked, and of its questions, one in so many.
KINDS = {
    "changes": (changes, 1),
    "other changes": (other_changes, 1),
    "siblings": (siblings, 1),
    "chats": (chats, 3),
}
# What is asked for at a time of its own has another right answer.
_LEFT_OUT = ("dated", "between")
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What a recall finds and compares.

    Attributes:
        kind: One of `KINDS`.
        half: Fitted on or not.
        topic: What it is about; all of one topic are in one fold.
        asked: The question.
        embedding: Of the question, (K,).
        compared: The memories that are compared.
        fact: The earlier and the later one of the fact that is asked for, as far as they are among
            them.
    """

    kind: str
    half: Half
    topic: str
    asked: Asked
    embedding: NDArray[np.float32]
    compared: tuple[Candidate, ...]
    fact: frozenset[int]

    @property
    def fold(self) -> int:
        """The fold whose map is fitted without its topic; -1 if no map is fitted on any of it."""
        fitted_on = self.half == HALVES[0] and self.kind in ("changes", "other changes")
        return fold_of(self.topic) if fitted_on else -1


class Case(NamedTuple):
    """A pair, whether the later memory supersedes the earlier one, and whether it might seem to.

    Attributes:
        found: Where it is from.
        signals: Its signals.
        right: Whether the later one supersedes the earlier one.
        sibling: Whether both are alike, and of two people or things.
    """

    found: Found
    signals: Signals
    right: bool
    sibling: bool


def fold_of(topic: str) -> int:
    """The fold of a topic, the same in every run."""
    return sha256(topic.encode()).digest()[1] % FOLDS


def found(name: str, corpus: Path, work: Path | None) -> Iterator[Found]:
    """What is compared for each question of a kind.

    Args:
        name: One of `KINDS`.
        corpus: Folder of the corpus.
        work: Where stores are kept.
    """
    make, every = KINDS[name]
    kind = make(corpus)
    with filled(kind, work) as (memory, added):
        for collection, question in list(questions_of(kind))[::every]:
            text = question.text
            tells = when_asked(text) is not When.UNKNOWN or are_keywords(text)
            if tells and asks_how_it_is(text) and question.category not in _LEFT_OUT:
                half = HALVES[0] if name == "other changes" else question.half
                yield _found(memory, name, half, collection, question, added[collection.id])


def cases(one: Found, maps: Mapping[int, NDArray[np.float32]]) -> Iterator[Case]:
    """The pairs of what a recall compares.

    Args:
        one: What it compares.
        maps: Of slots, by the fold without whose topics it was fitted; -1 is that of all topics.
    """
    made = maps[one.fold]
    asked = replace(one.asked, slot=_slot(made, one.embedding))
    compared = [
        replace(candidate, slot=_slot(made, candidate.wording.embedding))
        for candidate in one.compared
    ]
    for old, new in may_supersede(compared):
        if is_about(asked.text, old.wording.text, new.wording.text):
            fact = one.fact == {old.id, new.id}
            right, sibling = fact and one.kind != "siblings", fact and one.kind == "siblings"
            yield Case(one, signals(asked, old, new, compared), right, sibling)


def _slot(
    made: NDArray[np.float32], embedding: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    if embedding is None:
        return None
    mapped = made @ embedding
    slot: NDArray[np.float32] = mapped / np.linalg.norm(mapped)
    return slot


def _found(
    memory: Memory,
    name: str,
    half: Half,
    collection: Collection,
    question: Question,
    added: Indices,
) -> Found:
    hits = memory.recall(
        question.text, k=COMPARED_BY_TIME, user_id=collection.id, now=collection.now, prefer="any"
    )
    groups = [
        Group(Scored(hit.id, hit.score, hit.explain["lexical"], hit.explain["vector"]), ())
        for hit in hits
    ]

    def read(snapshot: Any) -> Sequence[Candidate]:
        return candidates(
            snapshot, groups, partial(read_wordings, snapshot, memory._model), slots=False
        )

    model = memory._model
    fact = {*question.evidence, *question.distractors[:1]} if name != "chats" else set()
    return Found(
        name,
        half,
        collection.id.rpartition(" ")[0] if name.endswith("changes") else collection.id,
        Asked.of(question.text),
        model.embedder.embed_query(model.tokenizer.encode(without_now(question.text))),
        tuple(memory._store.snapshot(read)),
        frozenset(hit.id for hit in hits if added[hit.source.id][0] in fact),
    )
