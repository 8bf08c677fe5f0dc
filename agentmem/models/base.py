"""What memory asks of models, in numpy: torch stays behind these protocols.

====  =====================================
B     chunks in a batch
T     tokens of a chunk
M     memory vectors, ceil(T / 16)
D     dims of a memory vector
K     dims of a key
H     hidden size
V     vocabulary
====  =====================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import ModelError

# The coarsest density that verifies, chunk by chunk.
AUTO = "auto"
# Share of tokens that the latents alone must regenerate for a density to be good enough.
MIN_FIDELITY = 0.99
# Kinds of keys: the bundle's own, or those of a model that is named behind a colon.
BUILTIN = "builtin"
SENTENCE_TRANSFORMERS = "sentence-transformers"


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What the models make of one chunk.

    Attributes:
        latents: int8 (M, D); slots behind the last token are zero.
        packed: The same latents as they are stored.
        density: The density that they were quantised to.
        key: float32 (K,), unit norm.
        patch: See `agentmem.models.autoencoder.patch`.
        fidelity: Share of tokens that the latents alone regenerate.
    """

    latents: NDArray[np.int8]
    packed: bytes
    density: str
    key: NDArray[np.float32]
    patch: bytes
    fidelity: float


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """A stored chunk, as far as decoding needs it."""

    packed: bytes
    tokens: int
    patch: bytes


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored chunk, as a reranker looks at it.

    Attributes:
        packed: Its latents as they are stored.
        tokens: T that they stand for.
        preface: See `MemoryModel.encode`.
    """

    packed: bytes
    tokens: int
    preface: tuple[int, ...] = ()


# Places among passages: of a candidate, of what was said before it, and after; None: nothing was.
View = tuple[int, int | None, int | None]


def no_reranker(name: str) -> ModelError:
    """What is raised where a bundle of that name is to rerank and cannot."""
    return ModelError(
        f"bundle {name!r} comes without a reranker: recall with rerank=None, or train one with "
        f"`agentmem train reranker`"
    )


class Tokenizer(Protocol):
    """Text to ids and back, exactly."""

    @property
    def vocab_size(self) -> int:
        """V."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and the code points each touches, (start, end)."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; never raises."""


class MemoryModel(Protocol):
    """Everything between text and stored arrays: a model bundle, or a small one for tests."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the stored bytes of a text would."""

    @property
    def latents_fingerprint(self) -> str:
        """Changes whenever the latents of a text would; whatever reads latents is bound to it."""

    @property
    def key_dims(self) -> int:
        """K."""

    @property
    def max_tokens(self) -> int:
        """Longest chunk."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The bundle's tokenizer."""

    @property
    def densities(self) -> tuple[str, ...]:
        """Names of the quantisers, the finest first."""

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        prefaces: Sequence[Sequence[int]] | None = None,
        density: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """Token ids of chunks to latents, keys and patches, verified by decoding.

        Args:
            chunks: Each of 1 to ``max_tokens`` ids.
            prefaces: What stands before each for its key alone, such as who speaks; None: nothing.
            density: One of ``densities``, or ``"auto"``: for each chunk the coarsest that has
                the fidelity, else the finest.
            min_fidelity: What ``"auto"`` asks for, 0 to 1.
        """

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """Latents (M, D) of T tokens as they were before they were packed.

        Raises:
            ValueError: they are not the latents of so many tokens.
        """

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """Token ids back from latents; exact if patched, else what the latents alone say.

        Raises:
            ValueError: latents or a patch do not fit their chunk.
        """

    def query_key(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The key (K,) of a question."""

    @property
    def reranks(self) -> bool:
        """Whether it can `rerank`."""

    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """How well stored chunks answer a question, from their latents, without decoding them.

        Args:
            query: Token ids of the question.
            passages: P chunks.
            views: N candidates among them, each with its neighbours.

        Returns:
            float32 (N,), higher is better; comparable for one question only. A candidate whose
            latents are damaged gets minus infinity.

        Raises:
            ModelError: it has no reranker.
        """
