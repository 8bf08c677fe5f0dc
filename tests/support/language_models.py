"""Tiny random language models of several families, with a tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.modeling import ReadingBatch, ReadingModel
from agentmem.models.reader.sequence import ReadingSequence
from agentmem.training.reader.batches import collate

# Windows are shorter than what the tests read, so that they matter.
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "yarn": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "rope_theta": 10_000.0,
                "original_max_position_embeddings": 256,
            }
        },
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 8}),
    "gemma3": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "mistral": (MistralForCausalLM, MistralConfig, {"head_dim": 8, "sliding_window": 9}),
}
_TEMPLATE = (
    "{% for message in messages %}<|begin|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
_LINES = (
    "Ana (3 May 2026): I booked the train to Lyon, it leaves at 9:40.",
    "Bo (4 May 2026): my sister's dog is called Rex.",
    "You answer questions from the notes you are given, in a few words. Not in memory.",
)


@cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES * 3, trainer)
    text: str = tokenizer.to_str()
    return text


def tiny_tokenizer(template: str | None = _TEMPLATE, **changes: Any) -> Any:
    given: dict[str, Any] = {"eos_token": "<|end|>", "bos_token": "<|begin|>", **changes}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_trained()), **given)
    tokenizer.chat_template = template
    return tokenizer


def tiny_lm(family: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    """A model with weights large enough that what it attends to shows."""
    kind, configuration, own = FAMILIES[family]
    given: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.2,
        "pad_token_id": None,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **own,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(configuration(**given)).eval()


def save_lm(folder: Path, family: str = "llama", **changes: Any) -> Path:
    tiny_lm(family, **changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def reading_model(lm: Any, *, seed: int = 1, **changes: Any) -> ReadingModel:
    """A reader whose adapters are not zero."""
    given: dict[str, Any] = {
        "language_model": "test/tiny",
        "rank": 3,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ReadingModel(lm, ReaderConfig(**given))
        with torch.no_grad():
            for weights in model.trainable().values():
                weights.copy_(0.1 * torch.randn(weights.shape))
    return model.train(False)


def batch_of(*sequences: ReadingSequence) -> ReadingBatch:
    return collate(sequences, max(map(len, sequences)))


def tokens(seed: int, *lengths: int) -> list[list[int]]:
    """Random token ids without special tokens."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(2, 400, (n,), generator=random).tolist() for n in lengths]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)


def greedy(model: ReadingModel, make: Any, ratio: int, end: int, most: int) -> list[int]:
    """Greedy tokens, with a full forward pass for each.

    Args:
        model: The reader.
        make: From the tokens written so far to the sequence that ends with them.
        ratio: As in `ReadingModel.hidden`.
        end: The token that ends an answer.
        most: Tokens of an answer.
    """
    written: list[int] = []
    while len(written) < most:
        token = next_token(model, make(written), ratio)
        if token == end:
            break
        written.append(token)
    return written


@torch.no_grad()
def next_token(model: ReadingModel, sequence: ReadingSequence, ratio: int) -> int:
    hidden = model.hidden(batch_of(sequence), ratio)[0, -1]
    return int(model.logits(hidden).argmax())


def flat(parts: Sequence[Sequence[int]]) -> list[int]:
    return [token for part in parts for token in part]
