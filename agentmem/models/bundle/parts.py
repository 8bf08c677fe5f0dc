"""The frozen networks of a bundle behind the interfaces of `agentmem.models.base`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.codec import LatentCodec, full_precision
from agentmem.models.base import AUTO, MIN_FIDELITY, Encoded, Latent, Passage, View
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.padding import by_length, pad
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.models.reranker.scoring import score_latents
from agentmem.models.tokenizer import ByteTokenizer


class BundleCodec:
    """See `agentmem.models.base.Codec`."""

    def __init__(self, codec: LatentCodec, tokenizer: ByteTokenizer, fingerprint: str) -> None:
        self._codec = codec
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.max_tokens = codec.max_tokens
        self.quantizations = codec.quantizations

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        quantization: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """See `Codec.encode`."""
        return self._codec.encode(
            chunks,
            quantizations=self.quantizations[::-1] if quantization == AUTO else (quantization,),
            min_fidelity=min_fidelity,
        )

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """See `Codec.unpack`."""
        return self._codec.unpack(packed, tokens)

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """See `Codec.regenerate`."""
        decoded = self._codec.decode(
            [item.packed for item in latents],
            [item.tokens for item in latents],
            [item.patch for item in latents] if patched else None,
        )
        return [ids.tolist() for ids in decoded]


class BundleEmbedder:
    """See `agentmem.models.base.Embedder`; longer inputs are truncated to ``max_tokens``."""

    def __init__(self, network: EmbedderModel, max_tokens: int) -> None:
        self._network = network
        self._max_tokens = max_tokens
        self.name = "builtin"
        self.dims: int = network.config.key_dims

    @full_precision()
    def embed_documents(self, chunks: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Embedder.embed_documents`."""
        cut = [list(ids)[: self._max_tokens] for ids in chunks]
        embeddings = np.empty((len(cut), self.dims), dtype=np.float32)
        for rows in by_length([len(ids) for ids in cut]):
            embeddings[rows] = self._network(*pad([cut[row] for row in rows])).numpy()
        return embeddings

    def embed_query(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """See `Embedder.embed_query`; queries and documents are embedded alike."""
        embedding: NDArray[np.float32] = self.embed_documents([ids])[0]
        return embedding


class BundleReranker:
    """See `agentmem.models.base.Reranker`; it scores latents without decoding them."""

    def __init__(self, network: LatentReranker, codec: LatentCodec) -> None:
        self._network = network
        self._codec = codec

    @full_precision()
    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """See `Reranker.rerank`; a long query is truncated, as for its embedding."""
        cut = query[: self._codec.max_tokens]
        return score_latents(self._network, self._codec, cut, passages, views)
