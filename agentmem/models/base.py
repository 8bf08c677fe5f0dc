"""The model interfaces that memory is built on: codec, embedder and reranker, and their bundle.

All of them take and return numpy arrays; no module that uses them needs torch. `MemoryModel`
composes one of each. To replace the embedder or the reranker, write a class that satisfies
`TextEmbedder` or `TextReranker` and register it (see `agentmem.models.registry`).

====  =====================================
B     chunks in a batch
T     tokens of a chunk
M     memory vectors, ceil(T / 16)
D     dims of a memory vector
K     dims of an embedding
H     hidden size
V     vocabulary size
====  =====================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import ModelError

# Per chunk, the coarsest quantization that reaches the required fidelity.
AUTO = "auto"
# Share of tokens that the latents alone must regenerate for a quantization to be good enough.
MIN_FIDELITY = 0.99
# Selects the bundle's own embedder or reranker.
BUILTIN = "builtin"
# Selects the smaller embedder of a bundle that has two.
TINY = "tiny"


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A chunk as the codec encodes it.

    Attributes:
        latents: int8 (M, D); slots behind the last token are zero.
        packed: The same latents as they are stored.
        quantization: The quantization they were rounded to.
        patch: See `agentmem.models.autoencoder.patch`.
        fidelity: Share of tokens that the latents alone regenerate.
    """

    latents: NDArray[np.int8]
    packed: bytes
    quantization: str
    patch: bytes
    fidelity: float


@dataclass(frozen=True, slots=True, eq=False)
class EncodedChunk(Encoded):
    """A chunk as it is stored: encoded, and embedded for search.

    Attributes:
        embedding: float32 (K,), unit norm.
    """

    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """The parts of a stored chunk that decoding needs."""

    packed: bytes
    tokens: int
    patch: bytes


@dataclass(frozen=True, slots=True)
class Passage:
    """The parts of a stored chunk that reranking needs.

    Attributes:
        packed: Its latents as they are stored; empty if they are damaged.
        tokens: T, the number of tokens they encode.
        preface: Token ids of its header, such as the speaker's name; see `MemoryModel.encode`.
        patch: Its patch; None if it is damaged.
    """

    packed: bytes
    tokens: int
    preface: tuple[int, ...] = ()
    patch: bytes | None = b""


# Indices into a list of passages: a candidate, the chunk before it and the chunk after it; None
# where there is no neighbor.
View = tuple[int, int | None, int | None]


def no_reranker(name: str) -> ModelError:
    """The error raised when reranking is requested of a model that has no reranker."""
    return ModelError(
        f"bundle {name!r} comes without a reranker: recall with rerank=None, or train one with "
        f"`agentmem train reranker`"
    )


class Tokenizer(Protocol):
    """Text to token ids and back, without loss."""

    @property
    def vocab_size(self) -> int:
        """V."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and the code points that each covers as (start, end)."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; never raises."""


class Codec(Protocol):
    """Chunks to latents and back, verified by decoding."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the latents of a text would; whatever reads latents is bound to it."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids are encoded."""

    @property
    def max_tokens(self) -> int:
        """Length of the longest chunk."""

    @property
    def quantizations(self) -> tuple[str, ...]:
        """Names of the available quantizations, finest first."""

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        quantization: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """Encode token ids to latents and patches.

        Args:
            chunks: Each of 1 to ``max_tokens`` ids.
            quantization: One of ``quantizations``, or ``"auto"``: for each chunk the coarsest
                that reaches ``min_fidelity``, or the finest if none does.
            min_fidelity: The fidelity that ``"auto"`` requires, 0 to 1.
        """

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """Unpack the stored latents of T tokens to (M, D).

        Raises:
            ValueError: they are not the latents of that many tokens.
        """

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """Decode token ids: exact with the patches applied, approximate without.

        Raises:
            ValueError: latents or a patch do not fit their chunk.
        """

    def look_up(self, latents: Sequence[Latent]) -> list[list[int] | None]:
        """What `regenerate` most probably returns with patches, at a fraction of its cost.

        Whoever takes it for exact compares a hash of the text, and regenerates what differs.

        Returns:
            Token ids, or None for what cannot be looked up, damaged latents among them.
        """


class Embedder(Protocol):
    """Token ids to the embeddings that vector search compares."""

    @property
    def name(self) -> str:
        """Display name."""

    @property
    def dims(self) -> int:
        """K."""

    def embed_documents(self, chunks: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embeddings (B, K) of stored chunks, unit norm."""

    def embed_query(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Embedding (K,) of a query, unit norm."""


class Reranker(Protocol):
    """Scores the best candidates of a search against the query."""

    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """Score candidates.

        Args:
            query: Token ids of the query.
            passages: P chunks.
            views: N candidates among them, each with its neighbors.

        Returns:
            float32 (N,), higher is better; comparable within one query only. A candidate whose
            latents are damaged gets minus infinity.
        """


class TextEmbedder(Protocol):
    """An embedder of your own: texts in, numpy out.

    It must be usable from several threads at once.
    """

    @property
    def name(self) -> str:
        """Display name."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever an embedding would; a store is bound to it."""

    @property
    def dims(self) -> int:
        """K."""

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings (B, K) of stored texts; they are normalized for you."""

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embedding (K,) of a query; it is normalized for you."""


class TextReranker(Protocol):
    """A reranker of your own: a query and texts in, numpy out.

    It must be usable from several threads at once.
    """

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores (N,) of texts, higher is better; only their order and spacing matter."""


class MemoryModel:
    """Everything between text and stored arrays: a codec, an embedder and perhaps a reranker."""

    def __init__(
        self,
        name: str,
        *,
        fingerprint: str,
        codec: Codec,
        embedder: Embedder,
        reranker: Reranker | None = None,
        reranks: bool = True,
    ) -> None:
        """Compose the parts.

        Args:
            name: Display name.
            fingerprint: Changes whenever the stored bytes of a text would.
            codec: Encodes and decodes chunks.
            embedder: Makes the embeddings that vector search compares.
            reranker: Scores the best candidates again; None: recalls are not reranked.
            reranks: Whether recalls are reranked by default.
        """
        self.name = name
        self.fingerprint = fingerprint
        self.codec = codec
        self.embedder = embedder
        self.reranker = reranker
        self.reranks = reranks and reranker is not None
        self.tokenizer = codec.tokenizer

    def load(self) -> Self:
        """Load now what codec and embedder would load when they are first used."""
        for part in (self.codec, self.embedder):
            load = getattr(part, "load", None)
            if load is not None:
                load()
        return self

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        prefaces: Sequence[Sequence[int]] | None = None,
        quantization: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[EncodedChunk]:
        """Encode and embed chunks; see `Codec.encode`.

        Args:
            chunks: Token ids of each.
            prefaces: Token ids put before each chunk for its embedding only, such as the name of
                the speaker; None: nothing.
            quantization: As for the codec.
            min_fidelity: As for the codec.
        """
        encoded = self.codec.encode(chunks, quantization=quantization, min_fidelity=min_fidelity)
        embeddings = self.embed(chunks, prefaces=prefaces)
        return [
            EncodedChunk(
                one.latents, one.packed, one.quantization, one.patch, one.fidelity, embedding
            )
            for one, embedding in zip(encoded, embeddings, strict=True)
        ]

    def embed(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        prefaces: Sequence[Sequence[int]] | None = None,
    ) -> NDArray[np.float32]:
        """Embed chunks without encoding them: float32 (B, K), unit norm.

        Args:
            chunks: As for `encode`.
            prefaces: Likewise.
        """
        prefixes = [()] * len(chunks) if prefaces is None else prefaces
        return self.embedder.embed_documents(
            [[*prefix, *ids] for prefix, ids in zip(prefixes, chunks, strict=True)]
        )
