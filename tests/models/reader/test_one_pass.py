"""One pass over memories and branches, compared with two passes and with plain text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from agentmem.errors import ModelError
from agentmem.models.reader.attention import block_mask, text_mask
from agentmem.models.reader.lora import TokenGates
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.sequence import BRANCH, MEMORY, PREFIX, Branch, lay_out
from agentmem.models.reader.states import append_memories, encode_memories
from tests.support.language_models import (
    FAMILIES,
    batch_of,
    close,
    flat,
    reading_model,
    tiny_lm,
    tokens,
)

PREFIX_IDS, *MEMORIES = tokens(0, 5, 12, 3, 7)
PROMPTS = tokens(1, 4, 6)


@pytest.fixture(params=FAMILIES)
def lm(request: pytest.FixtureRequest) -> Any:
    return tiny_lm(request.param)


def sequence(*prompts: list[int], memories: list[list[int]] = MEMORIES) -> Any:
    return lay_out(PREFIX_IDS, memories, [Branch(p) for p in prompts])


def run(lm: Any, ids: list[int], cache: DynamicCache, start: int) -> torch.Tensor:
    out = lm.model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.arange(start, start + len(ids))[None],
        past_key_values=cache,
        use_cache=True,
    )
    states: torch.Tensor = out.last_hidden_state[0]
    return states


@torch.no_grad()
def test_memories_alone_and_then_a_text_over_their_states(lm: Any) -> None:
    model = reading_model(lm)
    laid = sequence(*PROMPTS)
    hidden = model.hidden(batch_of(laid), 1)[0]
    for number, prompt in enumerate(PROMPTS):
        cache = DynamicCache()
        with model.gates.set(text=torch.ones(1, 1, 1)):
            run(lm, PREFIX_IDS, cache, 0)
            states = encode_memories(lm, MEMORIES, prefix=PREFIX_IDS)
            start = append_memories(lm, cache, states, len(PREFIX_IDS))
            alone = run(lm, prompt, cache, start)
        assert start == len(PREFIX_IDS) + len(flat(MEMORIES))
        close(hidden[laid.segments == len(MEMORIES) + 1 + number], alone)


@torch.no_grad()
def test_ratio_0_is_the_concatenated_text(lm: Any) -> None:
    model = reading_model(lm)
    laid = sequence(PROMPTS[0])
    hidden = model.hidden(batch_of(laid), 0)[0]
    with model.gates.set(text=torch.ones(1, 1, 1)):
        plain = run(lm, [*PREFIX_IDS, *flat(MEMORIES), *PROMPTS[0]], DynamicCache(), 0)
    close(hidden, plain)


@torch.no_grad()
def test_without_adapters_the_model_is_what_it_was_bit_for_bit(lm: Any) -> None:
    ids = torch.tensor([flat(MEMORIES)])
    before = lm(input_ids=ids).logits
    model = reading_model(lm)
    assert torch.equal(model.lm(input_ids=ids).logits, before)
    with model.gates.set(text=torch.ones(1, 1, 1)):
        assert not torch.equal(model.lm(input_ids=ids).logits, before)
    assert torch.equal(model.lm(input_ids=ids).logits, before)


@torch.no_grad()
def test_an_adapter_changes_the_tokens_that_it_is_on_for() -> None:
    model = reading_model(tiny_lm())
    ids = torch.tensor([flat(MEMORIES)])
    gate = torch.zeros(1, ids.shape[1], 1)
    gate[0, [2, 5]] = 1
    seen = []
    layer = model.lm.model.layers[0].self_attn.v_proj
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model.lm(input_ids=ids)
    with model.gates.set(text=gate):
        model.lm(input_ids=ids)
    changed = (seen[0] != seen[1]).any(dim=-1)[0].nonzero()[:, 0].tolist()
    assert changed == [2, 5]


def test_gates_are_as_before_once_a_pass_is_over() -> None:
    gates, outer, inner = TokenGates(), torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    with gates.set(text=outer):
        with gates.set(text=inner):
            assert gates.text is inner
        assert gates.text is outer
    assert gates.text is None


def test_which_positions_attend_to_which() -> None:
    laid = lay_out([9, 9], [[5, 6], [7]], [Branch([3], [4]), Branch([2])])
    assert laid.kinds.tolist() == [PREFIX] * 2 + [MEMORY] * 3 + [BRANCH] * 3
    assert laid.positions.tolist() == [0, 1, 2, 3, 2, 5, 6, 5]
    assert laid.moves.tolist() == [0, 0, 0, 0, 2, 0, 0, 0]
    assert laid.labels.tolist() == [-100] * 6 + [4, -100]
    batch = batch_of(laid, lay_out([9], [], [Branch([2])]))
    seen = block_mask(batch.kinds, batch.segments)[:, 0]
    keys = [[k for k, sees in enumerate(row) if sees] for row in seen[0].tolist()]
    # From 8 on: the keys at the positions where branches see them.
    assert keys == [
        [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4],
        [8, 9, 10, 11, 12, 13], [8, 9, 10, 11, 12, 13, 14], [8, 9, 10, 11, 12, 15],
    ]  # fmt: skip
    assert [sum(row) for row in seen[1].tolist()] == [1, 2] + [1] * 6
    text = text_mask(batch.kinds, batch.segments)[0, 0]
    assert text[7].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 7]
    assert text[3].nonzero()[:, 0].tolist() == [0, 1, 2, 3]


@torch.no_grad()
def test_padding_and_neighbors_in_a_batch_change_nothing(lm: Any) -> None:
    model = reading_model(lm)
    one, other = sequence(PROMPTS[0], memories=MEMORIES[1:]), sequence(*PROMPTS)
    both = batch_of(one, other)
    for ratio in (0, 1, 4):
        close(model.hidden(both, ratio)[0, : len(one)], model.hidden(batch_of(one), ratio)[0])


def test_a_loss_is_that_of_the_labels_alone() -> None:
    model = reading_model(tiny_lm())
    laid = lay_out(
        PREFIX_IDS,
        MEMORIES,
        [Branch(PROMPTS[0], [7, 8], weight=0.5), Branch(PROMPTS[1], [9])],
    )
    loss, losses = model.loss(batch_of(laid), 4)
    assert len(losses) == 3
    assert loss.item() == pytest.approx(float(losses @ torch.tensor([0.5, 0.5, 1.0])) / 2, rel=1e-4)
    torch.autograd.backward(loss)
    assert all(p.grad is not None for p in model.trainable().values())
    assert all(p.grad is None for p in model.lm.parameters() if not p.requires_grad)


def test_no_memory_is_no_error() -> None:
    model = reading_model(tiny_lm())
    batch = batch_of(sequence(PROMPTS[0], memories=[]))
    assert bool(model.visible(batch, 4).all())
    for ratio in (0, 1, 4):
        assert bool(model.hidden(batch, ratio).isfinite().all())


def test_a_model_built_otherwise_is_refused() -> None:
    other = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50))
    with pytest.raises(ModelError, match="GPT2LMHeadModel is not built as Llama is"):
        reading_model(other)


def test_the_weights_have_the_names_that_readers_were_saved_with() -> None:
    names = set(ReadingModel.trainable(reading_model(tiny_lm())))
    assert "lm.model.layers.0.self_attn.q_proj.down" in names
    assert "lm.model.layers.1.mlp.down_proj.up" in names
    assert len(names) == 2 * 2 * 7
