"""One score from five signs: words, meaning, what stands around, length, and time.

``score = (w_lexical * lexical + w_key * key + w_neighbor * neighbors + w_length * length
+ w_time * time) / top``

- lexical: BM25 of the chunk times how many of the query's phrases it has, divided by the best of
  the query: 0 to 1.
- key: cosine of the chunk's key and the query's, stretched so that the candidates span 0 to 1.
- neighbors: the sum of lexical and key, so weighted, of the chunks said before and after it, the
  farther off the less of it: an answer often stands beside the words that were asked for, among
  others that speak of the same.
- length: the logarithm of its tokens, 1 for `LONGEST` of them and more: short turns ("Really?")
  have the words that were asked for and answer nothing.
- time: 1 if the query names a time and the chunk was said in it, see `agentmem.retrieval.dates`;
  else 0. It lifts and never shuts out: what was said later may speak of that time too.
- top: the largest value the sum can take, so that the score is 0 to 1.

A convex sum of normalised scores keeps how much better the best is; rank fusion throws that away
(Bruch et al., arXiv 2210.11934).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agentmem.retrieval.expand import Side
from agentmem_storage.records import Ranked

# How much of a chunk counts for the next one, for the one after that, and so on.
NEIGHBOR_DECAY = (1.0, 0.7, 0.5)
# Tokens.
LONGEST = 128
_LENGTHS = [math.log1p(tokens) / math.log1p(LONGEST) for tokens in range(LONGEST + 1)]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each sign counts; lexical and key add up to one.

    The values were fitted on dialogues that no network was trained on, and rounded
    (`benchmarks/fusion.py`). Their questions name no times, so that of time was set by
    reason: above what a key or words alone can give, so that a question with nothing but a time in
    it is answered from that time; below both together, so that the best match, said at another
    time, stays above what merely was said then.
    """

    lexical: float = 0.7
    vector: float = 0.3
    neighbor: float = 0.45
    length: float = 0.85
    time: float = 0.8
    rerank: float = 0.45

    @property
    def top(self) -> float:
        """The largest sum there can be where no time is named."""
        own = self.lexical + self.vector
        return own + 2 * sum(NEIGHBOR_DECAY) * self.neighbor * own + self.length


class Scored(NamedTuple):
    """A candidate with its score and the parts of it; zeros where no search came upon it."""

    id: int
    score: float = 0.0
    lexical: float = 0.0
    vector: float = 0.0
    neighbors: float = 0.0
    length: float = 0.0
    time: float = 0.0
    rerank: float = 0.0

    @property
    def explain(self) -> dict[str, float]:
        """The parts by name, as a hit has them."""
        return dict(zip(self._fields[2:], self[2:], strict=True))


def normalise_lexical(ranked: Ranked) -> dict[int, float]:
    """BM25 scores divided by the best of them."""
    best = float(ranked.scores.max(initial=0.0))
    if best <= 0:
        return dict.fromkeys(ranked.ids.tolist(), 0.0)
    return {int(i): float(s) / best for i, s in zip(ranked.ids, ranked.scores, strict=True)}


def normalise_keys(ranked: Ranked) -> dict[int, float]:
    """Cosines stretched so that the candidates span 0 to 1; a lone candidate keeps its cosine."""
    if not len(ranked.ids):
        return {}
    low, high = float(ranked.scores.min()), float(ranked.scores.max())
    if high - low < 1e-6:
        return {int(i): max(0.0, float(s)) for i, s in zip(ranked.ids, ranked.scores, strict=True)}
    return {
        int(i): (float(s) - low) / (high - low)
        for i, s in zip(ranked.ids, ranked.scores, strict=True)
    }


def length(tokens: int) -> float:
    """The sign of a chunk of so many tokens; a damaged row may have less than none."""
    return _LENGTHS[max(0, min(tokens, LONGEST))]


def fuse(
    lexical: Mapping[int, float],
    keys: Mapping[int, float],
    neighbors: Mapping[int, tuple[Side, Side]],
    weights: Weights,
    *,
    lengths: Mapping[int, int],
    in_time: Container[int] | None = None,
) -> list[Scored]:
    """All candidates and their neighbors, best first; ties go to the lower id.

    Args:
        lexical: Normalised lexical score by id.
        keys: Normalised key score by id.
        neighbors: The chunks before and after each candidate, in its scope; both must have
            passed the same filters as the candidates.
        weights: How much each sign counts.
        lengths: Tokens of all of them; none if their length does not count.
        in_time: Which of them all were said in the time that the query names; None if it names
            none.
    """
    own = {
        id: weights.lexical * lexical.get(id, 0.0) + weights.vector * keys.get(id, 0.0)
        for id in {*lexical, *keys}
    }
    beside: dict[int, float] = dict.fromkeys(own, 0.0)
    for id, sides in neighbors.items():
        for side in sides:
            for share, neighbor in zip(NEIGHBOR_DECAY, side, strict=False):
                if neighbor is not None:
                    beside[neighbor] = beside.get(neighbor, 0.0) + share * own[id]
    top = weights.top + (0.0 if in_time is None else weights.time)
    scored = []
    # Hundreds of them, and most are looked at only here.
    for id, near in beside.items():
        long = length(lengths[id]) if lengths else 0.0
        timely = float(in_time is not None and id in in_time)
        whole = own.get(id, 0.0) + weights.neighbor * near
        whole += weights.length * long + weights.time * timely
        own_parts = (lexical.get(id, 0.0), keys.get(id, 0.0))
        scored.append(Scored(id, whole / top, *own_parts, near, long, timely))
    return sorted(scored, key=by_score)


def by_score(item: Scored) -> tuple[float, int]:
    """A key to sort by: best first, ties to the lower id."""
    return -item.score, item.id
