"""How alike the embedder finds any two texts of the language of a query.

The shipped embedder was trained on English. Two English sentences about different things have a
cosine of about .1, two German ones .4, and two in Devanagari .7: what they have in common is their
language. Such a cosine says little about what a query asks, and must not count as if it did.

``languages.npy`` beside this file holds the mean embedding of a few sentences of each of some
thirty languages, for the embeddings of the shipped bundle (``python -m
benchmarks.relevance.languages``). The product of a query with such a mean is its mean cosine with
sentences that it has nothing to do with. Languages that are not among them resemble one that is, in
their letters if nothing else.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

FILE = "languages.npy"
# Mean cosines of English queries with sentences of other languages end below, those of queries in
# these languages begin above; in between are foreign names in English ones.
_ENGLISH, _FOREIGN = 0.25, 0.35
# Of texts of which the embedder knows no letter, all have one embedding.
_MOST = 0.9


def baseline(query: NDArray[np.float32]) -> float:
    """The cosine that a query has with any text of its language; 0 if that is English.

    Args:
        query: Its embedding, float32 (K,), unit norm.
    """
    mean = float((_means() @ query).max())
    share = min(1.0, max(0.0, (mean - _ENGLISH) / (_FOREIGN - _ENGLISH)))
    return min(_MOST, share * mean)


@cache
def _means() -> NDArray[np.float32]:
    """The mean embedding of each language, (L, K)."""
    with as_file(files("agentmem.retrieval").joinpath(FILE)) as path:
        loaded: NDArray[np.float32] = np.load(path).astype(np.float32)
    return loaded
