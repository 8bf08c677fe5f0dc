"""Which memory an answer is from, compared with the weights of plain attention."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from agentmem.models.reader.compressed import ABSENT, HeldKeys, append_compressed, encode_compressed
from agentmem.models.reader.shares import AnswerShares, _by_token
from tests.support.language_models import flat, reading_model, tiny_lm, tokens

PREFIX, *MEMORIES = tokens(0, 5, 8, 3, 6)
REQUEST = tokens(1, 4)[0]


@torch.no_grad()
@pytest.mark.parametrize("copied", [True, False])
def test_attention_to_what_is_copied(copied: bool) -> None:
    model = reading_model(tiny_lm())
    answer = [MEMORIES[1][2], MEMORIES[2][0], 1] if copied else [396, 395, 394]
    assert copied or not set(answer) & set(flat(MEMORIES))
    context = [*PREFIX, *flat(MEMORIES), *REQUEST, *answer[:-1]]
    model.lm.set_attn_implementation("eager")
    weights = model.lm.model(input_ids=torch.tensor([context]), output_attentions=True).attentions
    rows = torch.stack(weights)[:, 0, :, -len(answer) :].mean((0, 1))
    mass = []
    start = len(PREFIX)
    for memory in MEMORIES:
        mass.append(
            sum(
                float(rows[number, start + place])
                for number, token in enumerate(answer)
                for place, other in enumerate(memory)
                if token == other or not copied
            )
        )
        start += len(memory)
    model = reading_model(tiny_lm())
    shares = AnswerShares(answer, MEMORIES, len(PREFIX), None)
    model.lm.model(input_ids=torch.tensor([context]), watch=shares.watch)
    assert shares.found() == pytest.approx([part / sum(mass) for part in mass], abs=1e-4)


@torch.no_grad()
def test_of_compressed_memories_that_keep_all_they_are_the_same() -> None:
    model = reading_model(tiny_lm())
    answer = [MEMORIES[1][2], MEMORIES[2][0], 1]
    found = []
    states = encode_compressed(model.lm, MEMORIES, prefix=PREFIX, ratio=1)
    for compressed in (False, True):
        cache = DynamicCache()
        model.lm.model(input_ids=torch.tensor([PREFIX]), past_key_values=cache, use_cache=True)
        held: HeldKeys | None = append_compressed(model.lm, cache, states, len(PREFIX))
        assert held is not None
        text = [*REQUEST, *answer[:-1]]
        shares = AnswerShares(answer, MEMORIES, len(PREFIX), held if compressed else None)
        model.lm.model(
            input_ids=torch.tensor([text]),
            position_ids=torch.arange(held.end, held.end + len(text))[None],
            past_key_values=cache,
            use_cache=True,
            held=held,
            watch=shares.watch,
        )
        found.append(shares.found())
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert sum(found[0]) == pytest.approx(1)


def test_weights_go_to_the_tokens_that_keys_are_of() -> None:
    weights = torch.arange(12.0).view(2, 1, 6)
    indices = torch.tensor([[-2, 2, 0, ABSENT]])
    # Two heads share the keys: the mean of both.
    assert _by_token(weights, indices, 4).tolist() == [[(2 + 8) / 2, 0, (1 + 7) / 2, 0]]
