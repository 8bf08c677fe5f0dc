"""Which keys and values of a memory are kept, compared with a slow count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agentmem.models.reader.selection import greatest_attention, keep_greatest
from agentmem.models.reader.sequence import Branch, lay_out
from tests.support.language_models import FAMILIES, batch_of, reading_model, tiny_lm, tokens

PREFIX, *MEMORIES = tokens(0, 5, 12, 3, 7)
PROMPT = tokens(1, 4)[0]
# Halves, so that ties happen.
SCORES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9)),
    elements=st.integers(0, 6).map(lambda n: n / 2),
)


@given(SCORES, st.sampled_from((1, 2, 3, 4, 16)))
def test_the_greatest_of_all_layers_and_heads_are_kept(scores: Any, ratio: int) -> None:
    kept = keep_greatest(torch.from_numpy(scores), ratio).flatten().tolist()
    flat = scores.flatten().tolist()
    best = sorted(range(len(flat)), key=lambda i: (-flat[i], i))[: -(-len(flat) // ratio)]
    assert kept == [i in best for i in range(len(flat))]


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 6), st.integers(0, 5))
def test_the_greatest_attention_of_any_query(seed: int, rows: int, queries: int, more: int) -> None:
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, 4, queries, 8, generator=random)
    key = torch.randn(rows, 2, queries + more, 8, generator=random)
    found = greatest_attention(query, key, None, 0.5)
    for row in range(rows):
        for head in range(4):
            products = 0.5 * query[row, head] @ key[row, head // 2].T
            for number, values in enumerate(products):
                seen = values[: more + number + 1].softmax(0)
                assert bool((found[row, head // 2, : len(seen)] >= seen - 1e-6).all())
    assert bool((found <= 1).all())
    # Each is the weight that some query gives.
    assert found.amax(dim=2).min() >= 1 / (queries + more) - 1e-6


def test_a_mask_says_which_keys_a_query_sees() -> None:
    query, key = torch.ones(1, 2, 3, 4), torch.ones(1, 1, 5, 4)
    allowed = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0]], dtype=torch.bool)
    found = greatest_attention(query, key, allowed[None, None], 1.0)
    torch.testing.assert_close(found, torch.tensor([[[1, 1 / 2, 1 / 3, 1 / 3, 0]]]))


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adapted", [True, False])
def test_the_scores_are_those_of_reading_a_memory_twice(family: str, adapted: bool) -> None:
    model = reading_model(tiny_lm(family))
    batch = batch_of(
        lay_out(PREFIX, MEMORIES, [Branch(PROMPT)]), lay_out(PREFIX, MEMORIES[1:], [Branch([5])])
    )
    scores = model._scores(batch, adapted)
    start = len(PREFIX)
    usual = model.lm.config._attn_implementation
    for row, memories in enumerate((MEMORIES, MEMORIES[1:])):
        at = start
        for memory in memories:
            size = len(memory)
            ids = torch.tensor([[*PREFIX, *memory, *memory]])
            model.lm.set_attn_implementation("eager")
            with model.gates.set(text=torch.ones(1, 1, 1) if adapted else None):
                weights = model.lm.model(input_ids=ids, output_attentions=True).attentions
            model.lm.set_attn_implementation(usual)
            for layer, seen in enumerate(weights):
                again = seen[0, :, start + size :, start : start + size].amax(1)
                wanted = again.view(2, 2, size).amax(1)
                torch.testing.assert_close(
                    scores[layer, row, :, at : at + size], wanted, atol=1e-4, rtol=1e-3
                )
            at += size


@torch.no_grad()
@pytest.mark.parametrize("ratio", [2, 4, 16])
def test_each_memory_keeps_its_share(ratio: int) -> None:
    model = reading_model(tiny_lm())
    batch = batch_of(
        lay_out(PREFIX, MEMORIES, [Branch(PROMPT)]), lay_out(PREFIX, MEMORIES[1:], [Branch([5])])
    )
    visible = model.visible(batch, ratio)
    assert visible.shape == (2, 2, 2, batch.ids.shape[1])
    for row in range(2):
        for segment in batch.segments[row].unique().tolist():
            places = batch.segments[row] == segment
            kinds = set(batch.kinds[row][places].tolist())
            count = int(visible[:, row, :, places].sum())
            size = 2 * 2 * int(places.sum())
            assert count == (-(-size // ratio) if kinds == {1} else size)
