"""What reranking needs of the network, whichever library computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class RerankerRuntime(Protocol):
    """The frozen reranker, in float32, for one query.

    Shapes: Q tokens of the query, P passages, T tokens of a passage, N candidates, H hidden size.
    """

    def token_ids(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of codes (...), see `code_indices`, to the tokens they stand for, (...)."""

    def encode_query(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Token ids (Q,) to token states (Q, H)."""

    def attend(
        self, states: NDArray[np.float32], passages: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Attention of each query token to the slots of each passage.

        Args:
            states: From `encode_query`, (Q, H).
            passages: Token ids, (P, T).
            mask: True on tokens, (P, T).

        Returns:
            Attended slots (P, Q, H), and the maximum cosine similarity of a slot (P, Q).
        """

    def score_views(
        self,
        states: NDArray[np.float32],
        attended: NDArray[np.float32],
        match: NDArray[np.float32],
        views: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Score candidates from the results of `attend` on their passages.

        Args:
            states: From `encode_query`, (Q, H).
            attended: From `attend`, (P, Q, H).
            match: From `attend`, (P, Q).
            views: Indices among the passages of each candidate, of the chunk before it and of the
                chunk after it, (N, 3); -1: there is none.

        Returns:
            Scores (N,), higher is better.
        """
