"""Compressed memories: what is read from them, and their bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from agentmem.models.reader.compressed import (
    ABSENT,
    CompressedStates,
    HeldKeys,
    append_compressed,
    compress,
    encode_compressed,
    select,
)
from agentmem.models.reader.compressed_packing import pack_compressed, unpack_compressed
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.packing import pack_states
from agentmem.models.reader.sequence import Branch, lay_out
from agentmem.models.reader.states import MemoryStates, append_memories, encode_memories
from tests.support.language_models import (
    FAMILIES,
    batch_of,
    close,
    reading_model,
    tiny_lm,
    tokens,
)

PREFIX, *MEMORIES = tokens(0, 6, 10, 1, 17, 4)
PROMPT = tokens(1, 5)[0]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> ReadingModel:
    return reading_model(tiny_lm(request.param))


def run(
    model: ReadingModel, ids: list[int], cache: DynamicCache, start: int, held: Any = None
) -> torch.Tensor:
    out = model.lm.model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.arange(start, start + len(ids))[None],
        past_key_values=cache,
        use_cache=True,
        held=held,
    )
    states: torch.Tensor = out.last_hidden_state[0]
    return states


@torch.no_grad()
@pytest.mark.parametrize("ratio", [2, 4, 16])
def test_a_text_over_them_is_one_pass_over_everything(model: ReadingModel, ratio: int) -> None:
    laid = lay_out(PREFIX, MEMORIES, [Branch(PROMPT)])
    whole = model.hidden(batch_of(laid), ratio)[0, -len(PROMPT) :]
    with model.gates.set(text=torch.ones(1, 1, 1)):
        cache = DynamicCache()
        run(model, PREFIX, cache, 0)
        states = encode_compressed(model.lm, MEMORIES, prefix=PREFIX, ratio=ratio)
        held = append_compressed(model.lm, cache, states, len(PREFIX))
        assert held.end == len(PREFIX) + sum(map(len, MEMORIES))
        # In two steps: the second sees the first.
        first = run(model, PROMPT[:3], cache, held.end, held)
        second = run(model, PROMPT[3:], cache, held.end + 3, held)
    close(whole, torch.cat([first, second]))


@torch.no_grad()
def test_ratio_1_is_all_states(model: ReadingModel) -> None:
    with model.gates.set(text=torch.ones(1, 1, 1)):
        whole = encode_memories(model.lm, MEMORIES, prefix=PREFIX)
        kept = encode_compressed(model.lm, MEMORIES, prefix=PREFIX, ratio=1)
        for all_states, states in zip(whole, kept, strict=True):
            for indices in states.indices:
                assert torch.equal(indices, torch.arange(len(all_states)).expand_as(indices))
            for one, other in zip(all_states.keys, states.keys, strict=True):
                close(one, other)
        caches = DynamicCache(), DynamicCache()
        for cache in caches:
            run(model, PREFIX, cache, 0)
        end = append_memories(model.lm, caches[0], whole, len(PREFIX))
        held = append_compressed(model.lm, caches[1], kept, len(PREFIX))
        assert held.end == end
        close(
            run(model, PROMPT, caches[0], end),
            run(model, PROMPT, caches[1], end, held),
        )


@torch.no_grad()
def test_the_states_of_a_memory_do_not_depend_on_others(model: ReadingModel) -> None:
    with model.gates.set(text=torch.ones(1, 1, 1)):
        together = encode_compressed(model.lm, MEMORIES, prefix=PREFIX, ratio=4)
        for memory, states in zip(MEMORIES, together, strict=True):
            [alone] = encode_compressed(model.lm, [memory], prefix=PREFIX, ratio=4)
            for one, other in zip(alone.indices, states.indices, strict=True):
                assert torch.equal(one, other)
            for one, other in zip(
                (*alone.keys, *alone.values), (*states.keys, *states.values), strict=True
            ):
                close(one, other)


@torch.no_grad()
def test_no_memories() -> None:
    model = reading_model(tiny_lm())
    cache = DynamicCache()
    run(model, PREFIX, cache, 0)
    assert encode_compressed(model.lm, [], prefix=PREFIX, ratio=4) == []
    held = append_compressed(model.lm, cache, [], len(PREFIX))
    alone = DynamicCache()
    run(model, PREFIX, alone, 0)
    close(run(model, PROMPT, cache, len(PREFIX), held), run(model, PROMPT, alone, len(PREFIX)))


def test_what_each_head_sees() -> None:
    # A prefix of two; a memory of three, of which one head keeps two tokens and the other one.
    held = HeldKeys((torch.tensor([[0, 1, 2, 4], [0, 1, 3, ABSENT]]),), 5)
    seen = held.mask(0, (4, 2), 7, None)[0].int().tolist()
    assert seen[0] == seen[1] == [[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]
    assert seen[2] == seen[3] == [[1, 1, 1, 0, 1, 1, 0], [1, 1, 1, 0, 1, 1, 1]]
    near = held.mask(0, (2, 1), 6, 3)[0].int().tolist()
    # From position 6: only 4, 5 and itself.
    assert near == [[[0, 0, 0, 1, 1, 1]], [[0, 0, 0, 0, 1, 1]]]


def some(seed: int, tokens: int, ratio: int) -> CompressedStates:
    random = torch.Generator().manual_seed(seed)
    shapes = [(2, tokens, 8), (2, tokens, 16)]
    keys, values = ([torch.randn(s, generator=random) for s in shapes] for _ in range(2))
    scores = torch.rand(2, 2, tokens, generator=random)
    return compress(MemoryStates(tuple(keys), tuple(values)), scores, ratio)


@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from((1, 2, 4, 50)))
def test_packed_and_unpacked(seed: int, size: int, ratio: int) -> None:
    states = some(seed, size, ratio)
    back = unpack_compressed(pack_compressed(states))
    assert len(back) == size
    for one, other in zip(states.indices, back.indices, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(states.scores, back.scores, strict=True):
        assert torch.equal(one.half(), other.half())
    for one, other in zip((*states.keys, *states.values), (*back.keys, *back.values), strict=True):
        assert other.dtype == torch.float32
        most = one.abs().amax(2, keepdim=True) if one.numel() else one
        assert bool(((one - other).abs() <= most * (1 / 254 + 1 / 2000)).all())


@given(st.integers(0, 2**32), st.lists(st.integers(1, 9), max_size=4), st.sampled_from((2, 5, 16)))
def test_a_question_reads_the_best_of_what_is_kept(seed: int, sizes: list[int], ratio: int) -> None:
    memories = [some(seed + n, size, 2) for n, size in enumerate(sizes)]
    random = torch.Generator().manual_seed(seed)
    # Of few values, so that ties happen.
    weights = [torch.randint(1, 4, (size,), generator=random) / 4 for size in sizes]
    best = sorted(
        (-float(score * weights[m][token]), m, layer, head, token)
        for m, states in enumerate(memories)
        for layer, (places, scores) in enumerate(zip(states.indices, states.scores, strict=True))
        for head in range(2)
        for token, score in zip(places[head].tolist(), scores[head], strict=True)
        if token != ABSENT
    )[: -(-sum(4 * size for size in sizes) // ratio)]
    read = select(memories, weights, ratio)
    found = []
    for m, (states, all_kept) in enumerate(zip(read, memories, strict=True)):
        assert len(states) == len(all_kept)
        for layer, places in enumerate(states.indices):
            for head, own in enumerate(places.tolist()):
                assert own == sorted(own, key=lambda token: (token == ABSENT, token))
                for at, token in enumerate(own):
                    if token != ABSENT:
                        was = all_kept.indices[layer][head].tolist().index(token)
                        for kind in ("keys", "values", "scores"):
                            now, before = getattr(states, kind), getattr(all_kept, kind)
                            assert torch.equal(now[layer][head, at], before[layer][head, was])
                        found.append((m, layer, head, token))
    assert sorted(found) == sorted(one[1:] for one in best)


def test_long_memories_have_places_of_four_bytes() -> None:
    indices = torch.tensor([[3, 70_000]])
    ones = (torch.ones(1, 2, 4),)
    states = CompressedStates(70_001, (indices,), ones, ones, (torch.ones(1, 2),))
    assert torch.equal(unpack_compressed(pack_compressed(states)).indices[0], indices)


def test_a_quarter_of_the_states_takes_about_a_quarter_of_the_bytes() -> None:
    shape = (3, 80, 64)
    layers = tuple(torch.randn(shape) for _ in range(30))
    states = MemoryStates(layers, layers)
    share = len(pack_compressed(compress(states, torch.rand(30, 3, 80), 4))) / len(
        pack_states(states)
    )
    assert share == pytest.approx(1 / 4, rel=0.05)
