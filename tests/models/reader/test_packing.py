"""States as bytes: what rounding loses, what it takes, and what makes other states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from agentmem.models.reader.fingerprint import states_fingerprint
from agentmem.models.reader.packing import pack_states, unpack_states
from agentmem.models.reader.states import MemoryStates, append_memories, encode_memories
from tests.support.language_models import FAMILIES, reading_model, tiny_lm, tokens

PREFIX, *MEMORIES = tokens(0, 6, 10, 1, 17, 4)
QUESTION = tokens(1, 5)[0]


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request: pytest.FixtureRequest) -> Any:
    return tiny_lm(request.param)


def round_trip(states: MemoryStates) -> MemoryStates:
    return unpack_states(pack_states(states))


def test_each_number_is_within_half_a_step_of_its_scale(lm: Any) -> None:
    for states in encode_memories(lm, MEMORIES, prefix=PREFIX):
        back = round_trip(states)
        assert len(back) == len(states)
        for kind, axis in (("keys", 1), ("values", 2)):
            for exact, rounded in zip(getattr(states, kind), getattr(back, kind), strict=True):
                assert rounded.shape == exact.shape
                assert rounded.dtype == torch.float32
                # A scale in float16 is itself off by up to 2^-11, which shows at the largest.
                most = exact.abs().amax(axis, keepdim=True)
                if kind == "keys":
                    low, high = exact.amin(axis, keepdim=True), exact.amax(axis, keepdim=True)
                    most = (high - low) / 2
                slack = exact.abs().amax(axis, keepdim=True) / 2048 + 1e-6
                assert bool(((rounded - exact).abs() <= most / 127 / 2 + slack).all())


@torch.no_grad()
def test_what_rounding_changes_in_the_logits(lm: Any) -> None:
    def logits(memories: list[MemoryStates]) -> torch.Tensor:
        cache = DynamicCache()
        lm.model(input_ids=torch.tensor([PREFIX]), past_key_values=cache, use_cache=True)
        start = append_memories(lm, cache, memories, len(PREFIX))
        positions = torch.arange(start, start + len(QUESTION))[None]
        ids = torch.tensor([QUESTION])
        found: torch.Tensor = lm(ids, position_ids=positions, past_key_values=cache).logits[0, -1]
        return found

    states = encode_memories(lm, MEMORIES, prefix=PREFIX)
    exact = logits(states)
    rounded = logits([round_trip(one) for one in states])
    assert 0 < (rounded - exact).norm() < 0.02 * exact.norm()


def test_keys_have_a_scale_for_each_channel_and_values_for_each_token() -> None:
    keys, values = torch.randn(2, 2, 9, 8)
    keys[:, :, 3] *= 1000
    keys[:, :, 4] += 1000
    values[:, 3] *= 1000
    back = round_trip(MemoryStates((keys,), (values,)))
    rest = [n for n in range(8) if n not in (3, 4)]
    assert (back.keys[0] - keys)[:, :, rest].abs().max() < 0.05
    assert (back.keys[0] - keys)[:, :, 4].abs().max() < 0.05  # as near as if it were around zero
    rest = [n for n in range(9) if n != 3]
    assert (back.values[0] - values)[:, rest].abs().max() < 0.05


def test_layers_of_several_shapes_zeros_and_half_precision() -> None:
    shapes = [(2, 5, 8), (2, 5, 8), (1, 5, 16), (2, 5, 8)]
    keys = [torch.randn(shape) for shape in shapes]
    values = [torch.randn(shape) for shape in shapes]
    keys[0].zero_()
    values[1][0, 2] = 0
    back = round_trip(MemoryStates(tuple(keys), tuple(values)))
    for exact, rounded in zip([*keys, *values], [*back.keys, *back.values], strict=True):
        torch.testing.assert_close(rounded, exact, atol=0.03, rtol=0)
    assert not back.keys[0].any()
    assert not back.values[1][0, 2].any()
    half = MemoryStates((keys[2].bfloat16(),), (values[2].bfloat16(),))
    torch.testing.assert_close(round_trip(half).keys[0], keys[2], atol=0.05, rtol=0)


def test_they_take_about_a_byte_a_number() -> None:
    shape = (3, 40, 64)
    layers = tuple(torch.randn(shape) for _ in range(30))
    states = MemoryStates(layers, layers)
    assert len(pack_states(states)) < 1.07 * states.stored_bytes / 4


def test_the_fingerprint_tells_what_makes_other_states() -> None:
    def of(model: Any, prefix: Any = PREFIX) -> str:
        return states_fingerprint(model.lm, prefix)

    usual = of(reading_model(tiny_lm()))
    assert of(reading_model(tiny_lm())) == usual
    assert of(reading_model(tiny_lm()), [*PREFIX, 7]) != usual
    assert of(reading_model(tiny_lm(seed=3))) != usual
    assert of(reading_model(tiny_lm(), seed=3)) != usual
    assert of(reading_model(tiny_lm(rope_parameters={"rope_theta": 5.0, "rope_type": "default"})))
    changed = reading_model(tiny_lm())
    with torch.no_grad():
        changed.lm.model.embed_tokens.weight[17, 3] += 1e-3
    assert of(changed) != usual
    named = reading_model(tiny_lm())
    named.lm.config._name_or_path = "elsewhere"
    assert of(named) == usual
    assert len(usual) == 64
    assert of(reading_model(tiny_lm().to(torch.bfloat16))) != usual
