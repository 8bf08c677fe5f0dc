"""States of memories, compared with a plain pass and a block mask, in any batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CohereConfig, CohereForCausalLM, DynamicCache, GPT2Config, GPT2LMHeadModel

from agentmem.errors import ModelError
from agentmem.models.reader.states import _batches, append_memories, check_rotary, encode_memories
from tests.support.language_models import FAMILIES, close, tiny_lm, tokens

PREFIX, *MEMORIES = tokens(0, 6, 10, 1, 17, 4)


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request: pytest.FixtureRequest) -> Any:
    return tiny_lm(request.param)


@torch.no_grad()
def test_a_plain_pass_over_the_prefix_and_one_memory(lm: Any) -> None:
    built = DynamicCache()
    lm.model(input_ids=torch.tensor([PREFIX]), past_key_values=built, use_cache=True)
    states = encode_memories(lm, MEMORIES, prefix=PREFIX)
    end = append_memories(lm, built, states, len(PREFIX))
    assert end == built.get_seq_length() == len(PREFIX) + sum(map(len, MEMORIES))
    start = len(PREFIX)
    for memory in MEMORIES:
        # Rotary models keep their differences: the same pass, begun where the memory is read.
        alone = DynamicCache()
        ids = [*PREFIX, *memory]
        begin = start - len(PREFIX)
        lm.model(
            input_ids=torch.tensor([ids]),
            position_ids=torch.arange(begin, begin + len(ids))[None],
            past_key_values=alone,
            use_cache=True,
        )
        places = slice(start, start + len(memory))
        for one, other in zip(alone.layers, built.layers, strict=True):
            close(one.keys[:, :, len(PREFIX) :], other.keys[:, :, places])
            close(one.values[:, :, len(PREFIX) :], other.values[:, :, places])
        start += len(memory)


@pytest.fixture(scope="module")
def llama() -> Any:
    return tiny_lm()


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(len(MEMORIES))), st.integers(1, 60))
def test_any_order_and_any_batch(llama: Any, order: list[int], tokens: int) -> None:
    alone = [encode_memories(llama, [m], prefix=PREFIX)[0] for m in MEMORIES]
    together = encode_memories(llama, [MEMORIES[i] for i in order], prefix=PREFIX, tokens=tokens)
    for index, states in zip(order, together, strict=True):
        assert len(states) == len(MEMORIES[index])
        for one, other in zip(
            (*alone[index].keys, *alone[index].values), (*states.keys, *states.values), strict=True
        ):
            close(one, other)


def test_a_memory_keeps_its_own_numbers_and_no_more(llama: Any) -> None:
    states = encode_memories(llama, MEMORIES, prefix=PREFIX)[1]
    assert states.stored_bytes == 2 * 2 * 2 * 8 * 4  # layers, kinds, heads, dims, bytes
    for held in (*states.keys, *states.values):
        assert held.untyped_storage().nbytes() == held.numel() * 4


def test_no_memories(llama: Any) -> None:
    cache = DynamicCache()
    assert encode_memories(llama, [], prefix=PREFIX) == []
    assert append_memories(llama, cache, [], 3) == 3
    assert cache.get_seq_length() == 0


def test_memories_at_the_beginning_of_a_cache(llama: Any) -> None:
    cache = DynamicCache()
    states = encode_memories(llama, MEMORIES, prefix=PREFIX)
    assert append_memories(llama, cache, states, 5) == 5 + cache.get_seq_length()
    assert cache.get_seq_length() == sum(map(len, MEMORIES))


def test_half_precision_is_kept(llama: Any) -> None:
    lm = tiny_lm().to(torch.bfloat16)
    check_rotary(lm)
    states = encode_memories(lm, MEMORIES, prefix=PREFIX)
    assert {t.dtype for one in states for t in (*one.keys, *one.values)} == {torch.bfloat16}
    exact = encode_memories(llama, MEMORIES, prefix=PREFIX)
    for one, other in zip(states, exact, strict=True):
        error = (one.keys[0].float() - other.keys[0]).norm() / other.keys[0].norm()
        assert error < 0.02


def test_rotary_models_pass(lm: Any) -> None:
    check_rotary(lm)


def test_models_whose_keys_cannot_be_moved_are_refused() -> None:
    learned = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50))
    with pytest.raises(ModelError, match="GPT2LMHeadModel has no rotary position embeddings"):
        check_rotary(learned)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    woven = CohereForCausalLM(CohereConfig(vocab_size=50, intermediate_size=32, **sizes))
    with pytest.raises(ModelError, match=r"CohereForCausalLM does not rotate .* \(layer 0\)"):
        check_rotary(woven)
    growing = tiny_lm(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    with pytest.raises(ModelError, match="'dynamic', which change with the length"):
        check_rotary(growing)


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 2000))
def test_batches_hold_every_memory_once_and_little_padding(lengths: list[int], most: int) -> None:
    batches = _batches(lengths, most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[index] for index in batch]
        padded = len(batch) * sizes[-1]
        assert sizes == sorted(sizes)
        assert len(batch) == 1 or padded <= most
        assert padded - sum(sizes) <= max(64, padded // 8)
