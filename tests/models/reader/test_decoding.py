"""Batched greedy decoding, compared with a full forward pass for every token."""

from __future__ import annotations

import pytest
import torch

from agentmem.models.reader.decoding import decode_batch
from agentmem.models.reader.sequence import Branch, lay_out
from tests.support.language_models import FAMILIES, batch_of, greedy, reading_model, tiny_lm, tokens

PREFIX, *MEMORIES = tokens(0, 4, 11, 3, 6)
PROMPTS = tokens(1, 5, 2, 7)
MOST = 6


@pytest.mark.parametrize("ratio", [0, 1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_against_reading_anew(family: str, ratio: int) -> None:
    model = reading_model(tiny_lm(family))
    shown = [MEMORIES, MEMORIES[1:], []]

    def make(row: int, written: list[int]) -> object:
        branch = Branch([*PROMPTS[row], *written])
        return lay_out(PREFIX, shown[row], [branch])

    whole = greedy(model, lambda written: make(0, written), ratio, -1, MOST)
    end = whole[2]  # so that a row ends before the others
    batch = batch_of(*(make(row, []) for row in range(3)))  # type: ignore[arg-type]
    decoded = decode_batch(model, batch, ratio, end=end, most=MOST, watch=(end, 5))
    for row in range(3):
        anew = greedy(model, lambda written, row=row: make(row, written), ratio, end, MOST)  # type: ignore[misc]
        assert decoded.ids[row] == anew
    assert all(p < 0 for p in decoded.log_probabilities)
    assert [len(first) for first in decoded.first] == [2, 2, 2]
    one = decode_batch(model, batch, ratio, end=end, most=1)
    assert decoded.certainties == pytest.approx(one.log_probabilities)


@pytest.mark.parametrize("ratio", [0, 1, 4])
def test_without_adapters_it_is_the_language_model_that_writes(ratio: int) -> None:
    batch = batch_of(lay_out(PREFIX, MEMORIES, [Branch(PROMPTS[0])]))
    decoded = [
        decode_batch(reading_model(tiny_lm(), seed=seed), batch, ratio, end=1, adapted=False)
        for seed in (1, 2)
    ]
    assert decoded[0] == decoded[1]


def test_an_answer_without_tokens() -> None:
    model = reading_model(tiny_lm())
    batch = batch_of(lay_out(PREFIX, MEMORIES, [Branch(PROMPTS[0])]))
    decoded = decode_batch(model, batch, 1, end=1, most=0)
    assert (decoded.ids, decoded.log_probabilities, decoded.first) == ([[]], [0.0], [])
    assert decoded.certainties == []
    with torch.no_grad():
        longer = decode_batch(model, batch, 1, end=1, most=1, watch=(1,))
    assert len(longer.ids[0]) <= 1
