"""Which tokens of a memory keep a state, compared with a slow count."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentmem.models.reader.selection import keep_surprising
from agentmem.models.reader.sequence import MEMORY, Branch, lay_out
from tests.support.language_models import batch_of

# Halves, so that sums are exact and ties happen.
SURPRISALS = st.integers(0, 12).map(lambda n: n / 2)
ROWS = st.lists(
    st.lists(st.lists(SURPRISALS, min_size=1, max_size=9), max_size=4), min_size=1, max_size=3
)


def slowly(surprisal: list[float], ratio: int) -> list[bool]:
    padded = [0.0, *surprisal, 0.0]
    scores = [padded[i] + (padded[i - 1] + padded[i + 1]) / 2 for i in range(1, len(padded) - 1)]
    scores[-1] = float("inf")
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept = set(best[: -(-len(scores) // ratio)])
    return [i in kept for i in range(len(scores))]


@given(ROWS, st.sampled_from((1, 2, 3, 4, 16)))
def test_the_most_surprising_are_kept(rows: list[list[list[float]]], ratio: int) -> None:
    laid = [lay_out([1, 2], [[3] * len(m) for m in row], [Branch([4, 5], [6])]) for row in rows]
    batch = batch_of(*laid)
    # What stands at other places is not looked at.
    surprisal = torch.full(batch.ids.shape, 99.0)
    for row, (sequence, memories) in enumerate(zip(laid, rows, strict=True)):
        for number, memory in enumerate(memories, start=1):
            places = np.flatnonzero((sequence.segments == number) & (sequence.kinds == MEMORY))
            surprisal[row, torch.from_numpy(places)] = torch.tensor(memory)
    kept = keep_surprising(surprisal, batch.kinds, batch.segments, ratio)
    for row, (sequence, memories) in enumerate(zip(laid, rows, strict=True)):
        wanted = [keep for memory in memories for keep in slowly(memory, ratio)]
        places = torch.from_numpy(np.flatnonzero(sequence.kinds == MEMORY))
        assert kept[row, places].tolist() == wanted
        assert int(kept[row].sum()) == sum(wanted)
