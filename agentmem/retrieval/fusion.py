"""Score fusion: one score from lexical match, vector similarity, neighbors, length and time.

``score = (w_lexical * lexical + w_vector * vector + w_neighbor * neighbors + w_length * length
+ w_speaker * speaker + w_time * time) / top``

- lexical: how well the chunk's words match the query's (`agentmem_storage.sql.lexical`), divided
  by the best value for the query: 0 to 1. For what stands alone, times the share of the query's
  words, by weight, that the best match contains: a note with one word in five must not count as
  much as one with all five, even if none has more.
- vector: cosine similarity of the chunk's and the query's embeddings, the latter with less of the
  names of speakers in it (`agentmem.retrieval.speakers`), scaled so that the nearest
  `SPANNED` chunks span 0 to 1, but for what the rest need to keep their order; where the embedder
  hardly tells them apart, they keep their cosines.
- neighbors: the weighted sum of lexical and vector of the turns before and after it in its
  conversation, decaying with distance: an answer often stands next to the words of the question,
  among others on the same topic. See `agentmem.retrieval.conversation`.
- length: the logarithm of its number of tokens, 1 from `FULL_LENGTH` tokens on: short turns
  ("Really?") may contain the words of the question and still answer nothing.
- speaker: 1 for a turn of somebody whose name the query contains, otherwise 0.
- time: if the query names a time (see `agentmem.retrieval.dates`) and the chunk is from that time,
  1, or down to `LEAST_TIMELY` if its lexical, vector and neighbors say that it is about something
  else: "where did I live in May?" is not answered by what else was noted in May. Otherwise 0. It
  boosts and never excludes: later memories may refer to that time too.
- top: the largest possible sum, so that scores are 0 to 1.

A convex combination of normalized scores preserves by how much the best candidate is better, which
rank fusion discards (Bruch et al., arXiv 2210.11934).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentmem.retrieval.expand import Side
from agentmem_storage.records import Ranked, Turn

# What stands alone, such as a note or a document, competes with the turns of conversations as one
# of medium length would whose neighbors match about as well as itself.
ALONE_NEIGHBORS = 1.1
ALONE_LENGTH = 0.7
# Share of a chunk's own score that counts for its next neighbor, for the one after that, and so on.
NEIGHBOR_DECAY = (1.0, 0.7, 0.5)
# Share of the best evidence of any candidate from which on the time counts in full, and how much of
# it counts at least.
TIMELY = 0.5
LEAST_TIMELY = 0.5
# Chunks whose cosines tell them apart, and what is left for all others. On dialogues, notes and
# documents 32 to 64 do about as well, and the 200 candidates of fifty hits worse.
SPANNED = 64
TAIL = 0.01
# A smaller difference is of rounding.
_EQUAL = 1e-6
# Chunks whose cosines differ by less are not told apart by the embedder, which may know nothing of
# their script: there, they differ by .04, where it knows it by .2 and more.
_LEAST_SPAN = 0.1
# Tokens at which the length component reaches 1.
FULL_LENGTH = 128
_LENGTHS = [math.log1p(tokens) / math.log1p(FULL_LENGTH) for tokens in range(FULL_LENGTH + 1)]


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each component; lexical and vector add up to one.

    The values were fitted on dialogues that no network was trained on, and rounded
    (`benchmarks/fusion.py`); those of lexical and vector on notes and documents too. Their
    questions name no times, so the weight of time was set by reasoning: above what lexical or
    vector alone can contribute, so that a question that only names a time is answered from that
    time; below both together, so that the best match from another time stays above what is merely
    from that time.
    """

    lexical: float = 0.6
    vector: float = 0.4
    neighbor: float = 0.45
    length: float = 0.85
    speaker: float = 0.2
    time: float = 0.8
    rerank: float = 0.45

    @property
    def top(self) -> float:
        """The largest possible sum if the query names no time."""
        own = self.lexical + self.vector
        around = 2 * sum(NEIGHBOR_DECAY) * self.neighbor * own
        return own + around + self.length + self.speaker

    def evidence(self, own: float, neighbors: float) -> float:
        """What its words, its meaning and its neighbors say for a candidate, whatever its time."""
        return own + self.neighbor * neighbors


class Scored(NamedTuple):
    """A candidate with its score and components; all zero if no search found it."""

    id: int
    score: float = 0.0
    lexical: float = 0.0
    vector: float = 0.0
    neighbors: float = 0.0
    length: float = 0.0
    speaker: float = 0.0
    time: float = 0.0
    rerank: float = 0.0

    @property
    def explain(self) -> dict[str, float]:
        """The components by name, as on a hit."""
        return dict(zip(self._fields[2:], self[2:], strict=True))


def normalize_lexical(ranked: Ranked) -> dict[int, float]:
    """Lexical scores divided by the best of them."""
    best = float(ranked.scores.max(initial=0.0))
    if best <= 0:
        return dict.fromkeys(ranked.ids.tolist(), 0.0)
    return {int(i): float(s) / best for i, s in zip(ranked.ids, ranked.scores, strict=True)}


def normalize_cosines(nearest: Ranked, others: Ranked | None = None) -> dict[int, float]:
    """Cosines scaled so that the best `SPANNED` chunks span `TAIL` to 1, and the rest 0 to `TAIL`.

    So a cosine counts the same, however many hits are asked for. The less the best differ, the more
    they keep their cosines, so that what is noise outranks no words.

    Args:
        nearest: The chunks nearest to the query, each once or more; if all have one cosine, it is
            kept.
        others: The cosines of further ones.
    """
    cosines = dict(zip(nearest.ids.tolist(), nearest.scores.tolist(), strict=True))
    if not cosines:
        return {}
    best = sorted(cosines.values(), reverse=True)[:SPANNED]
    if others is not None:
        cosines |= zip(others.ids.tolist(), others.scores.tolist(), strict=True)
    span, exact = best[0] - best[-1], np.array(list(cosines.values()))
    kept = np.maximum(0.0, exact)
    if span >= _EQUAL:
        known = [min(cosines.values()), best[-1], best[0]]
        told = min(1.0, span / _LEAST_SPAN)
        kept = told * np.interp(exact, known, [0.0, TAIL, 1.0]) + (1 - told) * kept
    return dict(zip(cosines, kept.tolist(), strict=True))


def length(tokens: int) -> float:
    """The length component of a chunk; damaged rows may claim a negative number of tokens."""
    return _LENGTHS[max(0, min(tokens, FULL_LENGTH))]


def fuse(
    lexical: Mapping[int, float],
    vector: Mapping[int, float],
    neighbors: Mapping[int, tuple[Side, Side]],
    weights: Weights,
    *,
    turns: Mapping[int, Turn],
    coverage: float = 1.0,
    named: Container[int] = (),
    in_interval: Container[int] | None = None,
    least_timely: float = 1.0,
) -> list[Scored]:
    """All candidates and their neighbors, best first; ties go to the lower id.

    Args:
        lexical: Normalized lexical scores by id.
        vector: Normalized cosines by id.
        neighbors: The turns before and after each candidate in its conversation, filtered like
            the candidates; none on either side of a candidate that stands alone.
        weights: The weight of each component.
        turns: What is known of all of them; empty if length does not count.
        coverage: The share of the query's words, by weight, that the best lexical match contains.
        named: Which of them are turns of somebody whom the query names.
        in_interval: Which of them are from the time that the query names; None if it names none.
        least_timely: How much of the time counts at least; 1 if the query asks for nothing else.
    """
    alone = {id for id, (before, after) in neighbors.items() if not before and not after}
    lexical = {id: one * coverage if id in alone else one for id, one in lexical.items()}
    own = {
        id: weights.lexical * lexical.get(id, 0.0) + weights.vector * vector.get(id, 0.0)
        for id in {*lexical, *vector}
    }
    nearby: dict[int, float] = dict.fromkeys(own, 0.0)
    for id, sides in neighbors.items():
        if id in alone:
            nearby[id] = ALONE_NEIGHBORS * own[id]
        for side in sides:
            for share, neighbor in zip(NEIGHBOR_DECAY, side, strict=False):
                if neighbor is not None:
                    nearby[neighbor] = nearby.get(neighbor, 0.0) + share * own[id]
    top = weights.top + (0.0 if in_interval is None else weights.time)
    evidence = {id: weights.evidence(own.get(id, 0.0), near) for id, near in nearby.items()}
    enough = TIMELY * max(evidence.values(), default=0.0)
    scored = []
    for id, near in nearby.items():
        long = ALONE_LENGTH if id in alone else length(turns[id].tokens) if turns else 0.0
        timely = 0.0
        if in_interval is not None and id in in_interval:
            share = min(1.0, evidence[id] / enough) if enough > 0 else 1.0
            timely = max(least_timely, share)
        spoken = float(id in named)
        total = evidence[id] + weights.length * long + weights.speaker * spoken
        total += weights.time * timely
        components = (lexical.get(id, 0.0), vector.get(id, 0.0), near, long, spoken, timely)
        scored.append(Scored(id, total / top, *components))
    return sorted(scored, key=by_score)


def by_score(item: Scored) -> tuple[float, int]:
    """A sort key: best first, ties to the lower id."""
    return -item.score, item.id
