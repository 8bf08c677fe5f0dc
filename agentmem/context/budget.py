"""Fills a budget of tokens or decoder positions: which hits go in, and as vectors or as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.context.format import frame_tokens, line
from agentmem.context.full_scope import FullScope
from agentmem.context.hits import Hit
from agentmem.models.base import MIN_FIDELITY

# Cosine similarity at which two chunks count as near duplicates: the lowest value tried that loses
# no evidence on the dev dialogues of the corpus, see benchmarks/LOG.md.
NEAR_DUPLICATE = 0.98


class Budget:
    """A budget and the hits that have been put into it.

    Attributes:
        vectors: Hits included as memory vectors.
        texts: Hits included as text.
    """

    def __init__(
        self,
        count_tokens: Callable[[str], int],
        *,
        max_tokens: int | None,
        max_positions: int | None,
    ) -> None:
        self._count = count_tokens
        self._max_tokens, self._max_positions = max_tokens, max_positions
        self._tokens = 0 if max_tokens is None else frame_tokens(count_tokens)
        self._positions = 0
        self.vectors: list[Hit] = []
        self.texts: list[Hit] = []

    def add(self, hit: Hit, *, as_text: bool) -> bool:
        """Add a hit if it fits.

        Args:
            hit: The hit.
            as_text: Prefer text to vectors, if the text fits.

        Returns:
            Whether the hit was added.
        """
        faithful = hit.fidelity >= MIN_FIDELITY
        as_text = as_text or not faithful
        # Text is decoded only if its length matters.
        tokens = self._line_tokens(hit) if as_text or self._max_tokens is not None else 0
        if self._max_tokens is not None and self._tokens + tokens > self._max_tokens:
            return False
        if as_text and self._has_room(tokens):
            self.texts.append(hit)
            self._positions += tokens
        elif faithful and self._has_room(hit.positions):
            self.vectors.append(hit)
            self._positions += hit.positions
        else:
            return False
        self._tokens += tokens
        return True

    def convert_to_text(self, hit: Hit) -> None:
        """Include a hit as text instead of vectors, if that fits."""
        if hit not in self.vectors:
            return
        more = self._line_tokens(hit) - hit.positions
        if self._has_room(more):
            self.vectors.remove(hit)
            self.texts.append(hit)
            self._positions += more

    def _has_room(self, positions: int) -> bool:
        return self._max_positions is None or self._positions + positions <= self._max_positions

    def _line_tokens(self, hit: Hit) -> int:
        # Counted line by line: joined, the lines have at most as many tokens.
        return self._count(line(hit) + "\n")


def add_best(budget: Budget, found: Sequence[Hit], texts: int) -> int:
    """Add hits, best first, skipping those that do not fit.

    Args:
        budget: An empty budget.
        found: The hits, in any order.
        texts: How many of the best to include as text.

    Returns:
        How many hits were omitted as repeats: they differ from a better one only in their date.
    """
    hits = _without_repeats(best_first(found))
    embeddings = _embeddings(hits)
    similar = np.zeros(len(hits), dtype=bool)
    deferred = []
    for rank, hit in enumerate(hits):
        if similar[rank]:
            deferred.append(rank)
        elif budget.add(hit, as_text=rank < texts):
            similar |= embeddings @ embeddings[rank] >= NEAR_DUPLICATE
    for rank in deferred:
        budget.add(hits[rank], as_text=rank < texts)
    return len(found) - len(hits)


def add_everything(budget: Budget, found: Sequence[Hit], full_scope: FullScope, texts: int) -> bool:
    """Add everything that the recall could have returned, if all of it fits.

    Args:
        budget: An empty budget; unusable afterwards if not everything fits.
        found: The hits.
        full_scope: Everything the recall could have returned.
        texts: How many of the best to include as text, as far as they fit.

    Returns:
        Whether everything fits.
    """
    scored = {hit.id: hit for hit in found}
    hits = best_first([scored.get(hit.id, hit) for hit in full_scope.hits()])
    if not all(budget.add(hit, as_text=False) for hit in hits):
        return False
    for hit in hits[:texts]:
        budget.convert_to_text(hit)
    return True


def best_first(hits: Sequence[Hit]) -> list[Hit]:
    """Hits by descending score; ties keep their order."""
    return sorted(hits, key=lambda hit: -hit.score)


def _without_repeats(hits: Sequence[Hit]) -> list[Hit]:
    """The first of every group of hits with the same text and speaker."""
    first: dict[tuple[bytes, str], Hit] = {}
    for hit in hits:
        first.setdefault((hit.text_hash, hit.speaker), hit)
    return list(first.values())


def _embeddings(hits: Sequence[Hit]) -> NDArray[np.float32]:
    """Embeddings, float32 (n, K); zeros, which resemble nothing, where they are damaged."""
    known = [hit.embedding for hit in hits]
    zero = np.zeros_like(next((one for one in known if one is not None), np.zeros(1, np.float32)))
    return np.array([zero if one is None else one for one in known], dtype=np.float32)
