"""`LatentReranker` in NumPy, for inference; see there for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentmem.models.layers.arrays import gelu, l2_norm, linear, softmax, softplus
from agentmem.models.layers.blas import one_thread
from agentmem.models.layers.weights import Shapes, Weights, load_weights
from agentmem.models.reranker.configuration import LatentRerankerConfig

# As in `LatentReranker`.
_VIEWS = 3
_MASKED = -1e4


class NumpyReranker:
    """See `agentmem.models.reranker.runtime.RerankerRuntime`."""

    def __init__(self, weights: Weights) -> None:
        """Take the weights, named as in `LatentReranker`."""
        self._weights = weights
        # As one matrix for the three neighbors of a token side by side.
        self._mixes = {
            name: weights[f"{name}.weight"]
            .transpose(0, 2, 1)
            .reshape(len(weights[f"{name}.bias"]), -1)
            for name in ("mix", "mix_query")
        }

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load the network in a folder.

        Raises:
            ModelNotFoundError: the folder lacks a file.
            ModelError: its configuration is invalid, or the weights do not fit it.
        """
        config = LatentRerankerConfig.from_pretrained(folder)
        return cls(load_weights(folder, _shapes(config)))

    def token_ids(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `RerankerRuntime.token_ids`."""
        ids: NDArray[np.int64] = self._weights["tokens"][indices].astype(np.int64)
        return ids

    @one_thread()
    def encode_query(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `RerankerRuntime.encode_query`."""
        (states,) = self._mixed(self._weights["embedding.weight"][ids][None], "mix_query")
        return np.asarray(states)

    @one_thread()
    def attend(
        self, states: NDArray[np.float32], passages: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `RerankerRuntime.attend`."""
        own = self._weights
        slots = own["embedding.weight"][passages]
        slots[~mask] = 0
        slots = self._mixed(slots, "mix")  # (P, T, H)
        left = l2_norm(linear(states, own["query.weight"]))
        right = l2_norm(linear(slots, own["key.weight"]))
        similarity = left @ right.transpose(0, 2, 1)  # (P, Q, T)
        hidden = ~mask[:, None]
        match = np.where(hidden, np.float32(-1), similarity).max(axis=-1)
        similarity *= own["sharpness"]
        np.copyto(similarity, _MASKED, where=hidden)
        return np.asarray(softmax(similarity) @ slots, dtype=np.float32), match

    @one_thread()
    def score_views(
        self,
        states: NDArray[np.float32],
        attended: NDArray[np.float32],
        match: NDArray[np.float32],
        views: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """See `RerankerRuntime.score_views`."""
        exists = (views >= 0)[..., None]  # (N, 3, 1)
        at = np.maximum(views, 0)
        matches = np.where(exists, match[at], np.float32(0))  # (N, 3, Q)
        seen = np.where(exists[..., None], attended[at], np.float32(0))  # (N, 3, Q, H)
        weights = softplus(self._layer("weigh", states))  # (Q, 1)
        weights /= weights.sum(axis=0)
        shape = (len(views), *states.shape)
        tokens = np.broadcast_to(states, shape)  # (N, Q, H)
        share = np.broadcast_to(weights * np.float32(len(states)), (*shape[:2], 1))
        compared = np.concatenate(
            [
                tokens,
                seen[:, 0],
                *(tokens * seen[:, view] for view in range(_VIEWS)),
                matches.transpose(0, 2, 1),
                share,
            ],
            axis=-1,
        )
        compared = gelu(self._layer("digest", gelu(self._layer("compare", compared))))
        pooled = [(weights * compared).sum(axis=1), compared.max(axis=1)]
        judged = gelu(self._layer("judge", np.concatenate(pooled, axis=-1)))
        matched = (matches @ weights[:, 0]) @ self._weights["matches"]
        return np.asarray(self._layer("score", judged)[:, 0] + matched, dtype=np.float32)

    def _layer(self, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        made = linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
        return np.asarray(made, dtype=np.float32)

    def _mixed(self, x: NDArray[np.float32], mix: str) -> NDArray[np.float32]:
        """Token vectors (B, T, H), zero on padding, convolved with their neighbors."""
        wide = np.zeros((*x.shape[:2], 3, x.shape[2]), dtype=x.dtype)
        wide[:, 1:, 0] = x[:, :-1]
        wide[:, :, 1] = x
        wide[:, :-1, 2] = x[:, 1:]
        rows = wide.reshape(*x.shape[:2], -1)
        mixed = linear(rows, self._mixes[mix], self._weights[f"{mix}.bias"])
        return np.asarray(x + gelu(mixed), dtype=np.float32)


def _shapes(config: LatentRerankerConfig) -> Shapes:
    h, wide = config.hidden_size, config.intermediate_size
    return {
        "tokens": (config.codes,),
        "embedding.weight": (config.vocab_size, h),
        "mix.weight": (h, h, 3),
        "mix.bias": (h,),
        "mix_query.weight": (h, h, 3),
        "mix_query.bias": (h,),
        "query.weight": (h, h),
        "key.weight": (h, h),
        "sharpness": (1,),
        "weigh.weight": (1, h),
        "weigh.bias": (1,),
        "compare.weight": (wide, (2 + _VIEWS) * h + _VIEWS + 1),
        "compare.bias": (wide,),
        "digest.weight": (wide, wide),
        "digest.bias": (wide,),
        "judge.weight": (wide, 2 * wide),
        "judge.bias": (wide,),
        "score.weight": (1, wide),
        "score.bias": (1,),
        "matches": (_VIEWS,),
    }
