"""The parts of a bundle behind the interfaces of `agentmem.models.base`.

What they say about themselves comes from the bundle's small files. Their networks are verified and
loaded when the first text is encoded, decoded or embedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import ModelError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.base import AUTO, BUILTIN, MIN_FIDELITY, Encoded, Latent, Passage, View
from agentmem.models.bundle.manifest import EMBEDDER, TOKENIZER, bundled_part
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.sentence_encoder import SentenceEncoder, SentenceEncoderConfig
from agentmem.models.lazy import Lazy

if TYPE_CHECKING:
    from agentmem.models.bundle.networks import Networks
    from agentmem.models.tokenizer import ByteTokenizer


class BundleTokenizer:
    """See `agentmem.models.base.Tokenizer`; its words are read when they are first needed."""

    def __init__(self, bundle: Path, vocab_size: int) -> None:
        self._tokenizer = Lazy(lambda: _tokenizer(bundle / TOKENIZER, vocab_size))
        self.vocab_size = vocab_size

    def load(self) -> None:
        """Read the words now.

        Raises:
            ModelError: they are of another kind, or there are not as many as the networks know.
        """
        self._tokenizer()

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return self._tokenizer().encode(text)

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See `Tokenizer.encode_offsets`."""
        return self._tokenizer().encode_offsets(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts."""
        return self._tokenizer().encode_batch(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        return self._tokenizer().decode(ids)


def _tokenizer(folder: Path, vocab_size: int) -> ByteTokenizer:
    from agentmem.models.tokenizer import ByteTokenizer

    tokenizer = ByteTokenizer.from_folder(folder)
    if tokenizer.vocab_size != vocab_size:
        raise ModelError(
            f"the parts of the bundle at {str(folder.parent)!r} have different vocabulary sizes: "
            f"'tokenizer': {tokenizer.vocab_size}, the others {vocab_size}"
        )
    return tokenizer


class BundleCodec:
    """See `agentmem.models.base.Codec`."""

    def __init__(
        self,
        networks: Lazy[Networks],
        tokenizer: BundleTokenizer,
        config: AutoencoderConfig,
        fingerprint: str,
    ) -> None:
        self._networks = networks
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.max_tokens = config.max_tokens
        self.quantizations = tuple(config.quantizations)

    def load(self) -> None:
        """Load the networks now, instead of when the first text needs them.

        Raises:
            ModelNotFoundError: a file has disappeared since the bundle was opened.
            ModelError: a file is damaged, or weights do not fit their configuration.
        """
        self.tokenizer.load()
        networks = self._networks()
        networks.autoencoder()
        networks.codec()
        if networks.reranker is not None:
            networks.reranker()

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        quantization: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """See `Codec.encode`."""
        return (
            self._networks()
            .codec()
            .encode(
                chunks,
                quantizations=self.quantizations[::-1] if quantization == AUTO else (quantization,),
                min_fidelity=min_fidelity,
            )
        )

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """See `Codec.unpack`."""
        return self._networks().codec().unpack(packed, tokens)

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """See `Codec.regenerate`."""
        decoded = (
            self._networks()
            .codec()
            .decode(
                [item.packed for item in latents],
                [item.tokens for item in latents],
                [item.patch for item in latents] if patched else None,
            )
        )
        return [ids.tolist() for ids in decoded]

    def look_up(self, latents: Sequence[Latent]) -> list[list[int] | None]:
        """See `Codec.look_up`; the table comes with the reranker."""
        found = (
            self._networks()
            .codec()
            .look_up(
                [item.packed for item in latents],
                [item.tokens for item in latents],
                [item.patch for item in latents],
            )
        )
        return [None if ids is None else ids.tolist() for ids in found]


class BundleEmbedder:
    """See `agentmem.models.base.Embedder`; longer inputs are truncated to ``max_tokens``."""

    def __init__(self, networks: Lazy[Networks], config: EmbedderConfig, max_tokens: int) -> None:
        self._networks = networks
        self._max_tokens = max_tokens
        self.name = "builtin"
        self.dims = config.embedding_dims

    def load(self) -> None:
        """Load the network now, instead of when the first text needs it; see `BundleCodec.load`."""
        self._networks().embedder()

    def embed_documents(self, chunks: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Embedder.embed_documents`."""
        from agentmem.models.embedder.embedding import embed

        return embed(self._networks().embedder(), chunks, self._max_tokens)

    def embed_query(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """See `Embedder.embed_query`; queries and documents are embedded alike."""
        embedding: NDArray[np.float32] = self.embed_documents([ids])[0]
        return embedding


class BundleSentenceEncoder:
    """The sentence encoder of a bundle; see `agentmem.models.base.TextEmbedder`."""

    def __init__(self, bundle: Path, fingerprint: str) -> None:
        self._encoder = Lazy(lambda: SentenceEncoder(bundled_part(bundle, EMBEDDER)))
        self.name = BUILTIN
        self.fingerprint = fingerprint
        self.dims = SentenceEncoderConfig.from_folder(bundle / EMBEDDER).dims

    def load(self) -> None:
        """Load it now, instead of when the first text needs it."""
        self._encoder()

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `TextEmbedder.embed_documents`."""
        return self._encoder().embed(texts)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `TextEmbedder.embed_query`; queries and documents are embedded alike."""
        embedding: NDArray[np.float32] = self._encoder().embed([text])[0]
        return embedding


class BundleReranker:
    """See `agentmem.models.base.Reranker`; it scores latents without decoding them."""

    def __init__(self, networks: Lazy[Networks], max_tokens: int) -> None:
        self._networks = networks
        self._max_tokens = max_tokens

    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """See `Reranker.rerank`; a long query is truncated, as for its embedding."""
        networks = self._networks()
        assert networks.reranker is not None
        from agentmem.models.reranker.scoring import score_latents

        cut = query[: self._max_tokens]
        return score_latents(networks.reranker(), networks.codec(), cut, passages, views)
