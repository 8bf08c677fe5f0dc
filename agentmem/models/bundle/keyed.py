"""A model bundle whose keys come from another encoder; all the rest is the bundle's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import (
    AUTO,
    MIN_FIDELITY,
    Encoded,
    Latent,
    MemoryModel,
    Passage,
    Tokenizer,
    View,
)
from agentmem.models.embedder.sentence_transformers import SentenceTransformerKeys


@cache
def load_keys(place: str) -> SentenceTransformerKeys:
    """`SentenceTransformerKeys`, loaded once per process and place: stores share them."""
    return SentenceTransformerKeys(place)


class KeyedModel:
    """See `MemoryModel`; chunks and questions get their keys from ``keys``."""

    def __init__(self, model: MemoryModel, keys: SentenceTransformerKeys) -> None:
        self._model = model
        self._keys = keys

    @property
    def name(self) -> str:
        """What people call the two."""
        return f"{self._model.name}, keys of {self._keys.name}"

    @property
    def fingerprint(self) -> str:
        """Of the latents, and of the keys by name: the bundle's own keys are not stored."""
        keys = f"{self._keys.name} {self._keys.fingerprint}"
        return f"{self._model.latents_fingerprint}, keys of {keys}"

    @property
    def latents_fingerprint(self) -> str:
        """The bundle's: whoever reads its latents reads these too."""
        return self._model.latents_fingerprint

    @property
    def key_dims(self) -> int:
        """K of the other encoder."""
        return self._keys.key_dims

    @property
    def max_tokens(self) -> int:
        """See `MemoryModel.max_tokens`."""
        return self._model.max_tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """See `MemoryModel.tokenizer`."""
        return self._model.tokenizer

    @property
    def densities(self) -> tuple[str, ...]:
        """See `MemoryModel.densities`."""
        return self._model.densities

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        prefaces: Sequence[Sequence[int]] | None = None,
        density: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """See `MemoryModel.encode`."""
        coded = self._model.encode(chunks, density=density, min_fidelity=min_fidelity)
        told = [()] * len(chunks) if prefaces is None else prefaces
        keys = self._keys.passages(
            [self.tokenizer.decode([*one, *ids]) for one, ids in zip(told, chunks, strict=True)]
        )
        return [replace(item, key=key) for item, key in zip(coded, keys, strict=True)]

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """See `MemoryModel.unpack`."""
        return self._model.unpack(packed, tokens)

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """See `MemoryModel.regenerate`."""
        return self._model.regenerate(latents, patched=patched)

    def query_key(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """See `MemoryModel.query_key`."""
        return self._keys.query(self.tokenizer.decode(ids))

    @property
    def reranks(self) -> bool:
        """See `MemoryModel.reranks`."""
        return self._model.reranks

    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """See `MemoryModel.rerank`."""
        return self._model.rerank(query, passages, views)
