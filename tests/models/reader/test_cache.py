"""Caches of memories that ``generate`` continues, compared with a plain pass and a block mask."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from agentmem.errors import InputError, ModelError
from agentmem.models.reader.cache import cache_memories
from agentmem.models.reader.sequence import Branch, lay_out
from tests.support.language_models import FAMILIES, greedy, reading_model, tiny_lm, tiny_tokenizer

LINES = ("Ana: I booked the train to Lyon.", "Bo: my dog is called Rex.")
PREFIX = "<|begin|>system\nAnswer from the notes.<|end|>\n<|begin|>user\nNotes:\n"
QUESTION = "\nwhen is the train?<|end|>\n<|begin|>assistant\n"


def ids_of(text: str) -> list[int]:
    ids: list[int] = tiny_tokenizer()(text).input_ids
    return ids


def write(lm: Any, cache: Any, question: list[int], most: int = 6) -> list[int]:
    ids = torch.cat([cache.input_ids, torch.tensor([question])], dim=1)
    written = lm.generate(
        ids,
        past_key_values=cache.past_key_values,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=most,
        do_sample=False,
        eos_token_id=1,
        pad_token_id=1,
    )
    new: list[int] = written[0, ids.shape[1] :].tolist()
    return new[: new.index(1)] if 1 in new else new


@pytest.mark.parametrize("prefix", [PREFIX, None, "Notes:\n"])
@pytest.mark.parametrize("family", FAMILIES)
def test_generate_goes_on_from_it(family: str, prefix: str | None) -> None:
    lm = tiny_lm(family)
    cache = cache_memories(LINES, lm, tiny_tokenizer(), prefix=prefix)
    before = ids_of(prefix) if prefix else [0]
    memories = [ids_of(line + "\n") for line in LINES]
    assert cache.input_ids.tolist() == [[*before, *memories[0], *memories[1]]]
    assert cache.past_key_values.get_seq_length() == cache.input_ids.shape[1]
    question = ids_of(QUESTION)
    # Without gates the adapters are off: the plain model with a block mask.
    plain = reading_model(tiny_lm(family))
    with torch.no_grad():
        for weights in plain.trainable().values():
            weights.zero_()
    wanted = greedy(
        plain,
        lambda written: lay_out(before, memories, [Branch([*question, *written])]),
        1,
        1,
        6,
    )
    again = deepcopy(cache)
    assert write(lm, cache, question) == wanted
    assert write(lm, again, question) == wanted


def test_the_token_before_every_text_comes_once() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
    )
    for prefix in ("Notes:\n", "<|begin|>Notes:\n"):
        cache = cache_memories(["hi"], tiny_lm(), tokenizer, prefix=prefix)
        assert cache.input_ids.tolist() == [[0, *ids_of("Notes:\n"), *ids_of("hi\n")]]


def test_no_memories_and_special_tokens_in_them() -> None:
    lm, tokenizer = tiny_lm(), tiny_tokenizer()
    assert cache_memories([], lm, tokenizer).input_ids.tolist() == [[0]]
    assert cache_memories([], lm, tiny_tokenizer(bos_token=None)).input_ids.tolist() == [[1]]
    ids = cache_memories(["<|end|>"], lm, tokenizer, prefix="a").input_ids[0].tolist()
    assert 1 not in ids


def test_a_model_in_training_reads_as_it_would_write() -> None:
    lm = tiny_lm(attention_dropout=0.5).train()
    one, other = (cache_memories(LINES, lm, tiny_tokenizer()) for _ in range(2))
    assert lm.training
    layers = zip(one.past_key_values.layers, other.past_key_values.layers, strict=True)
    assert all(torch.equal(a.keys, b.keys) for a, b in layers)
    assert not any(layer.keys.requires_grad for layer in one.past_key_values.layers)


def test_models_that_are_rejected() -> None:
    with pytest.raises(InputError, match=r"take \d+ positions, the language model has 32"):
        cache_memories(LINES * 9, tiny_lm(max_position_embeddings=32), tiny_tokenizer())
    with pytest.raises(ModelError, match="give a prefix"):
        cache_memories(LINES, tiny_lm(), tiny_tokenizer(bos_token=None, eos_token=None))
    other = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=400))
    with pytest.raises(ModelError, match="no rotary position embeddings"):
        cache_memories(LINES, other, tiny_tokenizer())
