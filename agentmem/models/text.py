"""Adapters that let text-based embedders and rerankers work on token ids and stored latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import ModelError
from agentmem.models.base import (
    Codec,
    Latent,
    MemoryModel,
    Passage,
    TextEmbedder,
    TextReranker,
    Tokenizer,
    View,
)
from agentmem.models.fingerprints import with_own_embedder


class EmbedderOfTexts:
    """See `agentmem.models.base.Embedder`; token ids are decoded for a `TextEmbedder`."""

    def __init__(self, embedder: TextEmbedder, tokenizer: Tokenizer) -> None:
        self._embedder = embedder
        self._tokenizer = tokenizer
        self.name = embedder.name
        self.dims = embedder.dims

    def load(self) -> None:
        """Load now what the embedder would load when it is first used."""
        load = getattr(self._embedder, "load", None)
        if load is not None:
            load()

    def embed_documents(self, chunks: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Embedder.embed_documents`."""
        texts = [self._tokenizer.decode(ids) for ids in chunks]
        return self._checked(self._embedder.embed_documents(texts), (len(texts), self.dims))

    def embed_query(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """See `Embedder.embed_query`."""
        text = self._tokenizer.decode(ids)
        return self._checked(self._embedder.embed_query(text), (self.dims,))

    def _checked(self, made: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Unit-norm float32; a zero vector becomes the uniform one, since stores require a norm."""
        rows = np.asarray(made, dtype=np.float32)
        if rows.shape != shape or not np.isfinite(rows).all():
            raise ModelError(
                f"embedder {self.name!r} returned an array of shape {rows.shape}; expected finite "
                f"numbers of shape {shape}"
            )
        rows = np.where(rows.any(axis=-1, keepdims=True), rows, np.float32(1))
        return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


class RerankerOfTexts:
    """See `agentmem.models.base.Reranker`; latents are decoded for a `TextReranker`."""

    def __init__(self, reranker: TextReranker, codec: Codec) -> None:
        self._reranker = reranker
        self._codec = codec

    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """See `Reranker.rerank`; candidates are scored on their own text, without neighbors."""
        texts = [self._text(passages[own]) for own, _, _ in views]
        readable = [row for row, text in enumerate(texts) if text is not None]
        scores = np.full(len(views), -np.inf, dtype=np.float32)
        if readable:
            shown = [text for text in texts if text is not None]
            made = np.asarray(self._reranker.score(self._codec.tokenizer.decode(query), shown))
            if made.shape != (len(shown),) or not np.isfinite(made).all():
                raise ModelError(
                    f"the reranker returned an array of shape {made.shape}; expected finite "
                    f"numbers of shape {(len(shown),)}"
                )
            scores[readable] = made
        return scores

    def _text(self, passage: Passage) -> str | None:
        """The text of a passage with its preface; None if it is damaged."""
        if passage.patch is None:
            return None
        latent = Latent(passage.packed, passage.tokens, passage.patch)
        try:
            (ids,) = self._codec.regenerate([latent])
        except ValueError:
            return None
        return self._codec.tokenizer.decode([*passage.preface, *ids])


def with_embedder(model: MemoryModel, embedder: TextEmbedder) -> MemoryModel:
    """The same model with another embedder; stores it makes are bound to both."""
    return MemoryModel(
        f"{model.name}, keys of {embedder.name}",
        fingerprint=with_own_embedder(model.codec.fingerprint, embedder.name, embedder.fingerprint),
        codec=model.codec,
        embedder=EmbedderOfTexts(embedder, model.tokenizer),
        reranker=model.reranker,
        reranks=model.reranks,
    )


def with_reranker(model: MemoryModel, reranker: TextReranker) -> MemoryModel:
    """The same model with another reranker, on which nothing stored depends."""
    return MemoryModel(
        model.name,
        fingerprint=model.fingerprint,
        codec=model.codec,
        embedder=model.embedder,
        reranker=RerankerOfTexts(reranker, model.codec),
    )
