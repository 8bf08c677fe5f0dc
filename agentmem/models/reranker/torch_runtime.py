"""`LatentReranker` behind the interface of `agentmem.models.reranker.runtime`: the reference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.layers.inference import inference
from agentmem.models.reranker.modeling import LatentReranker


class TorchReranker:
    """See `agentmem.models.reranker.runtime.RerankerRuntime`."""

    def __init__(self, model: LatentReranker) -> None:
        """Wrap a model in float32."""
        self._model = model.train(False)

    @inference()
    def token_ids(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `RerankerRuntime.token_ids`."""
        return self._model.token_ids(torch.from_numpy(indices)).numpy()

    @inference()
    def encode_query(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `RerankerRuntime.encode_query`."""
        return self._model.encode_query(_batch(ids), _all(len(ids)))[0].numpy()

    @inference()
    def attend(
        self, states: NDArray[np.float32], passages: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `RerankerRuntime.attend`."""
        attended, match = self._model.attend(_batch(states), _batch(passages), _batch(mask))
        return attended[0].numpy(), match[0].numpy()

    @inference()
    def score_views(
        self,
        states: NDArray[np.float32],
        attended: NDArray[np.float32],
        match: NDArray[np.float32],
        views: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """See `RerankerRuntime.score_views`."""
        scores = self._model.score_views(
            _batch(states), _all(len(states)), _batch(attended), _batch(match), _batch(views)
        )
        return scores[0].numpy()


def _batch(array: NDArray[np.generic]) -> Tensor:
    """A batch of one query, (1, ...)."""
    return torch.from_numpy(array)[None]


def _all(tokens: int) -> Tensor:
    """The mask of one query, (1, Q)."""
    return torch.ones(1, tokens, dtype=torch.bool)
