"""What the tests of readers share: tiny language models of several families, and memories."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agentmem import MemoryReader, ReaderConfig
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.attention import SlotAttention, SlotMaker
from agentmem.models.reader.slots import Slots, as_slots
from agentmem.testing import tiny_model

VOCAB, HIDDEN, ROOM = 384, 32, 512
_LLAMA: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": ROOM,
}
_GPT2: dict[str, Any] = {"n_embd": HIDDEN, "n_layer": 3, "n_head": 4, "n_positions": ROOM}
_NEOX = {name: size for name, size in _LLAMA.items() if name != "num_key_value_heads"}
# OPT embeds tokens in fewer dims than its states have.
_OPT: dict[str, Any] = {
    **{name: _LLAMA[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
    "ffn_dim": 48,
    "word_embed_proj_dim": 16,
    "max_position_embeddings": ROOM,
}
# Gemma scales its embeddings, Bloom knows neither position ids nor a longest text.
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, _LLAMA),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {**_LLAMA, "head_dim": 8}),
    "gpt2": (GPT2LMHeadModel, GPT2Config, _GPT2),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {**_LLAMA, "head_dim": 8}),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig, _NEOX),
    "opt": (OPTForCausalLM, OPTConfig, _OPT),
    "bloom": (BloomForCausalLM, BloomConfig, {"hidden_size": HIDDEN, "n_layer": 3, "n_head": 4}),
}
TEXTS = (
    "The train to Lyon leaves at 9:40 from platform 12.",
    "Ana",
    "What did she tell you about the lazy dog? That it would come back tomorrow.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A memory as a reader takes it."""

    latents: NDArray[np.int8]
    tokens: int


def kept(*texts: str, model: ModelBundle | None = None) -> list[Kept]:
    """Texts as memories of the tiny bundle, or of another."""
    model = model or tiny_model()
    ids = [model.tokenizer.encode(text) for text in texts]
    return [Kept(one.latents, len(row)) for one, row in zip(model.encode(ids), ids, strict=True)]


def slots_of(groups: Sequence[Sequence[Kept]]) -> Slots:
    """Memories of each group as the tiny bundle's readers take them."""
    slots = as_slots(groups, slot_dims=2, vector_dims=32, most=8)
    assert slots is not None
    return slots


def causal_lm(family: str = "llama", seed: int = 0, **sizes: Any) -> PreTrainedModel:
    """A language model that was not trained and means what it says: its logits differ."""
    kind, config, given = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        words = {"vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        lm: PreTrainedModel = kind(config(**{**words, **given, **sizes}))
        for weights in lm.parameters():
            if weights.ndim > 1:
                torch.nn.init.normal_(weights, std=weights.shape[-1] ** -0.5)
    return lm.train(False)


def config_of(**changes: Any) -> ReaderConfig:
    """A small reader's."""
    small = {"heads": 2, "width": 32, "rope_dims": 8, "span": 2, "around": 3, "max_memories": 8}
    return ReaderConfig.model_validate({**small, "tokens_per_position": 4, **changes})


@cache
def own_tokenizer(vocab_size: int = 300, *, bos: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer that a language model might have: byte-level, other merges, no padding token."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        TEXTS * 4, vocab_size=vocab_size, show_progress=False, special_tokens=["<s>", "</s>"]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token="<s>" if bos else None, eos_token="</s>"
    )
    return tokenizer


def make_reader(lm: Any | None = None, *, seed: int = 0, given: Any = None, **changes: Any) -> Any:
    """A reader whose memories count, as if it were trained: its gates are open.

    Args:
        lm: None: a Llama that speaks the tiny bundle's tokens.
        seed: Of the fresh reading parts.
        given: More for `MemoryReader.from_causal_lm`.
        **changes: Of the configuration.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = MemoryReader.from_causal_lm(
            causal_lm() if lm is None else lm,
            tiny_model(),
            config=config_of(**changes),
            **given or {},
        )
        for module in reader.parts.model.modules():
            if isinstance(module, SlotAttention):
                torch.nn.init.constant_(module.gate, 2.0)
                torch.nn.init.normal_(module.out.weight, std=0.5)
            if isinstance(module, SlotMaker):  # what is read shall be the content, not the place
                torch.nn.init.normal_(module.value_tag.weight, std=0.02)
    return reader


def refuse_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let no host be looked up; what was asked for is in the list."""
    asked: list[object] = []

    def refuse(*given: object, **more: object) -> None:
        asked.append(given)
        raise OSError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def row_of(*ids: int) -> tuple[Tensor, Tensor]:
    """One text and its mask, int64 (1, T)."""
    row = torch.tensor([ids])
    return row, torch.ones_like(row)


def padded(rows: list[list[int]], *, left: bool) -> tuple[Tensor, Tensor]:
    """Texts and their mask, int64 (B, T); the padding is no token that means nothing."""
    longest = max(map(len, rows))
    ids, mask = torch.full((len(rows), longest), 7), torch.zeros(len(rows), longest)
    for at, row in enumerate(rows):
        place = slice(longest - len(row), None) if left else slice(len(row))
        ids[at, place] = torch.tensor(row)
        mask[at, place] = 1
    return ids, mask.long()


def close(one: Tensor, other: Tensor) -> None:
    """The same but for the order of additions."""
    torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)
