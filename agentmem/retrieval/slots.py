"""Slots: what a sentence states a value of, whatever the value.

"I live in Paris" and "We moved to Rome" are about one slot, and so is "Where do I live?". Their
embeddings differ by the cities and by what else the words say. A linear map makes them more alike:
it is fitted on sentences about many topics, such that those about one topic are nearer to each
other than to anything else (``python -m benchmarks.supersession``). ``slots.npy`` beside this file
holds it, for the embeddings of the shipped bundle.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

FILE = "slots.npy"


def slot(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """The slot (D,) of a sentence, unit norm.

    Args:
        embedding: Of the sentence, float32 (K,).
    """
    mapped: NDArray[np.float32] = _map() @ embedding
    norm = float(np.linalg.norm(mapped))
    return mapped / norm if norm else mapped


@cache
def _map() -> NDArray[np.float32]:
    """The linear map, (D, K)."""
    with as_file(files("agentmem.retrieval").joinpath(FILE)) as path:
        loaded: NDArray[np.float32] = np.load(path).astype(np.float32)
    return loaded
