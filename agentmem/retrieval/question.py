"""What of a query is searched for: its words, its time and its embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.calibration import knows_cosines
from agentmem.retrieval.dates import Interval, named_interval
from agentmem.retrieval.focus import embed_query, focused
from agentmem.retrieval.present import without_now
from agentmem.retrieval.query import RecallQuery
from agentmem_storage.words import asks_nothing


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A query as the models and the search take it, made before the store is read.

    Attributes:
        text: The part of the query to search for, see `agentmem.retrieval.focus`.
        unbound: The text without a time as it is seen from now, such as "yesterday".
        token_ids: Of the text.
        embedding: Of the text without "now" and the like, float32 (K,); None if no cosine counts.
        interval: The time that it names, if that counts in this mode.
    """

    text: str
    unbound: str
    token_ids: list[int]
    embedding: NDArray[np.float32] | None
    interval: Interval | None

    @property
    def words(self) -> str:
        """What is searched in memories of any time; "" if nothing but a time is asked for."""
        if self.seen_from_now and asks_nothing(self.unbound):
            return ""
        return without_now(self.unbound)

    @property
    def seen_from_now(self) -> bool:
        """Whether its time is named as seen from now: "yesterday"."""
        return self.unbound != self.text


def read_question(query: RecallQuery, model: MemoryModel) -> Question:
    """What a query asks.

    Args:
        query: A validated query.
        model: Embeds it.
    """
    text = focused(query.text, model.tokenizer)
    token_ids = model.tokenizer.encode(text)
    embedding = None
    if query.mode != "lexical" or knows_cosines(model.fingerprint):
        asked = without_now(text)
        ids = token_ids if asked == text else model.tokenizer.encode(asked)
        embedding = embed_query(model.embedder, ids, model.codec.max_tokens)
    interval = named_interval(text, query.now) if query.mode == "hybrid" else None
    unbound = text if interval is None else interval.unbound
    return Question(text, unbound, token_ids, embedding, interval)
