"""What goes into a budget, and as what: vectors or text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.context.format import block, line, who
from agentmem.context.hits import Hit
from agentmem.context.whole import Whole
from agentmem.models.base import MIN_FIDELITY

# Cosine of two keys from which on two chunks say nearly the same: the lowest tried that costs no
# evidence on dialogues of the corpus's dev questions, see benchmarks/LOG.md.
ALIKE = 0.98


class Filling:
    """A budget and what has been put into it so far.

    Attributes:
        vectors: Hits that go in as memory vectors.
        texts: Hits that go in as text.
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
        self._tokens = 0 if max_tokens is None else count_tokens(block([""]))
        self._positions = 0
        self.vectors: list[Hit] = []
        self.texts: list[Hit] = []

    def put(self, hit: Hit, *, as_text: bool) -> bool:
        """Put a hit in, if it fits.

        Args:
            hit: Which.
            as_text: As text rather than as vectors, if that fits.

        Returns:
            Whether it fitted.
        """
        faithful = hit.fidelity >= MIN_FIDELITY
        as_text = as_text or not faithful
        # Text is decoded only where it counts.
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

    def tell(self, hit: Hit) -> None:
        """Turn a hit that went in as vectors into text, if that fits."""
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
        # Lines are counted by themselves: joined, they have no more tokens than that.
        return self._count(line(hit) + "\n")


def fill_with_best(filling: Filling, found: Sequence[Hit], texts: int) -> int:
    """Put in what was found, the best first; what does not fit is passed over.

    Args:
        filling: An empty budget.
        found: The hits, in any order.
        texts: How many of the best to put in as text.

    Returns:
        How many hits were left out as repeats: they read like a better one but for the date.
    """
    hits = _without_repeats(best_first(found))
    keys = _keys(hits)
    alike = np.zeros(len(hits), dtype=bool)
    late = []
    for rank, hit in enumerate(hits):
        if alike[rank]:
            late.append(rank)
        elif filling.put(hit, as_text=rank < texts):
            alike |= keys @ keys[rank] >= ALIKE
    for rank in late:
        filling.put(hits[rank], as_text=rank < texts)
    return len(found) - len(hits)


def fill_with_everything(filling: Filling, found: Sequence[Hit], whole: Whole, texts: int) -> bool:
    """Put in everything that the recall was allowed to find, if all of it fits.

    Args:
        filling: An empty budget; of no more use if not everything fits.
        found: The hits.
        whole: What there was to find.
        texts: How many of the best to put in as text, as far as there is room for that.

    Returns:
        Whether everything fitted.
    """
    scored = {hit.id: hit for hit in found}
    hits = best_first([scored.get(hit.id, hit) for hit in whole.hits()])
    if not all(filling.put(hit, as_text=False) for hit in hits):
        return False
    for hit in hits[:texts]:
        filling.tell(hit)
    return True


def best_first(hits: Sequence[Hit]) -> list[Hit]:
    """Hits by score, whatever order was asked for; ties stay as they are."""
    return sorted(hits, key=lambda hit: -hit.score)


def _without_repeats(hits: Sequence[Hit]) -> list[Hit]:
    """The first of all that read the same but for their dates: one text of one speaker."""
    first: dict[tuple[bytes, str], Hit] = {}
    for hit in hits:
        first.setdefault((hit.record.text_hash, who(hit)), hit)
    return list(first.values())


def _keys(hits: Sequence[Hit]) -> NDArray[np.float32]:
    """Keys, float32 (n, K); zeros, which are like no other, for those whose key is damaged."""
    known = [hit.record.key for hit in hits]
    blank = np.zeros_like(next((key for key in known if key is not None), np.zeros(1, np.float32)))
    return np.array([blank if key is None else key for key in known], dtype=np.float32)
