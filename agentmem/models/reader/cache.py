"""Memories as a key-value cache that any rotary language model can continue from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.errors import InputError, ModelError
from agentmem.models.reader.states import append_memories, check_rotary, encode_memories


@dataclass(frozen=True, slots=True, eq=False)
class MemoryCache:
    """Keys and values of a prefix and the memories after it, ready for ``generate``.

    ::

        ids = torch.cat([cache.input_ids, question_ids], dim=1)
        model.generate(ids, past_key_values=cache.past_key_values)

    ``generate`` extends the cache that it is given: copy it (`copy.deepcopy`) to ask twice.

    Attributes:
        past_key_values: The cache; N positions of one sequence.
        input_ids: The tokens that it represents, int64 (1, N), on the model's device.
    """

    past_key_values: DynamicCache
    input_ids: Tensor


@torch.no_grad()
def cache_memories(
    lines: Sequence[str], model: Any, tokenizer: Any, *, prefix: str | None = None
) -> MemoryCache:
    """Put memories into a cache of a language model, each read by itself.

    A memory sees the prefix and no other memory, so that behind the same prefix its states are the
    same whatever it stands beside; what is written afterwards sees all, in the order of their text.

    Args:
        lines: The memories as text; each becomes a line.
        model: A Hugging Face causal language model with rotary positions.
        tokenizer: The model's.
        prefix: Text before the memories, such as a chat template up to where they stand, with its
            special tokens written out. A token that the tokenizer puts before every text is added
            where it is missing. None is that token alone, or, of a tokenizer that has none, the
            one that begins or ends a text.

    Raises:
        InputError: prefix and memories are longer than the model's context.
        ModelError: the model's keys do not turn with their positions as Llama's do; or there is no
            prefix, and the tokenizer has no token that could be one.
    """
    before = _prefix_ids(tokenizer, prefix or "")
    memories = [
        tokenizer(line + "\n", add_special_tokens=False, split_special_tokens=True).input_ids
        for line in lines
    ]
    ids = [*before, *(token for memory in memories for token in memory)]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and len(ids) > longest:
        raise InputError(
            f"prefix and memories take {len(ids)} positions, the language model has {longest}: "
            f"pack fewer memories"
        )
    training = model.training
    model.eval()
    try:
        check_rotary(model)
        states = encode_memories(model, memories, prefix=before)
        tokens = torch.tensor([ids], device=model.get_input_embeddings().weight.device)
        cache = DynamicCache()
        model.model(input_ids=tokens[:, : len(before)], past_key_values=cache, use_cache=True)
        append_memories(model, cache, states, len(before))
    finally:
        model.train(training)
    return MemoryCache(cache, tokens)


def _prefix_ids(tokenizer: Any, prefix: str) -> list[int]:
    """Token ids of a prefix, the token before every text included; never none.

    Raises:
        ModelError: the tokenizer has no such token, and the prefix is empty.
    """
    ids: list[int] = tokenizer(prefix, add_special_tokens=False).input_ids
    first = tokenizer.bos_token_id
    if first is not None and tokenizer("").input_ids[:1] == [first] and ids[:1] != [first]:
        return [first, *ids]
    if ids:
        return ids
    for token in (first, tokenizer.eos_token_id):
        if token is not None:
            return [token]
    raise ModelError("the tokenizer has no token that begins or ends a text: give a prefix")
