"""What a long query asks, wherever in it that stands.

A query may be a question behind a hundred words of talk, or a pasted mail with one in the middle.
Searched as a whole, such a text finds what resembles the talk. Of a query longer than `SHORT`
tokens, only the sentences that are questions are searched, if there are any. An embedder reads a
limited number of tokens, so what is longer is embedded in windows; their mean does not depend on
their order. The limits were chosen on dialogues that no model was trained on: with questions in the
midst of a hundred words from other dialogues, recall@10 rises from .33 to .62.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from agentmem.models.base import Embedder, Tokenizer

# Tokens of a query that is searched as it stands.
SHORT = 64
# A sentence with the mark that ends it, if any.
_ENDS = r".!?\n\u2026\u3002\uff01\uff1f\u061f"
_SENTENCE = regex.compile(rf"[^{_ENDS}]++[{_ENDS}]?")
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")


def focused(query: str, tokenizer: Tokenizer) -> str:
    """The part of a query to search for."""
    if len(query) <= SHORT or len(tokenizer.encode(query)) <= SHORT:
        return query
    sentences = map(str.strip, _SENTENCE.findall(query))
    return " ".join(one for one in sentences if one.endswith(_QUESTION_MARKS)) or query


def embed_query(embedder: Embedder, ids: Sequence[int], max_tokens: int) -> NDArray[np.float32]:
    """The embedding (K,) of a query of any length, unit norm.

    Args:
        embedder: Embeds each window.
        ids: Token ids of the query.
        max_tokens: The longest window.
    """
    if len(ids) <= max_tokens:
        return embedder.embed_query(ids)
    windows = np.array_split(np.asarray(ids), -(-len(ids) // max_tokens))
    embeddings = np.stack([embedder.embed_query(window.tolist()) for window in windows])
    mean: NDArray[np.float32] = embeddings.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm else embeddings[0]
