"""Relevance: how likely a hit answers the query, comparable across queries and stores.

The score of a hit only orders the hits of one recall. Its relevance is a probability, from what the
query and the memory have in common, whatever the mode of the recall and with or without reranker:

- cosine: of the embeddings of query and memory;
- share: of the weight of the query's words, those that the memory contains. Rare words of a scope
  weigh most, and stop words nothing, so a query of nothing but stop words is relevant to nothing;
- information: the weight of the words that it contains, in units of the rarest: one rare word that
  is all of a query tells less than five of them;
- memories: the logarithm of the number of memories in the scope: among many, one of them resembles
  any query.

A logistic regression makes evidence of them, in log-odds::

    evidence = weights · (cosine, share, information, memories) + bias
    hit      = sigmoid(scale * evidence + lag * (evidence - that of the best) + bias)
    recall   = sigmoid(scale * evidence of the best + bias)

The second is how likely the hit is the one that holds what the query asks for; a hit with less
evidence than another is less likely to be it. The third is how likely any memory of the scope holds
it. The numbers are fitted on questions with and without evidence, in stores of several kinds and
sizes, by ``python -m benchmarks.relevance``.

Cosines differ from model to model. Where the embeddings are not those of the bundle that the
numbers were fitted with, the words alone make the evidence, with numbers of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.calibration import Signals, calibration, knows_cosines
from agentmem.retrieval.focus import embed_query
from agentmem_storage.records import Scope, Selection
from agentmem_storage.store import Store

# Hits are compared with the best of at least so many, so that relevance hardly depends on k.
COMPARED = 8
# A recall is confident from this relevance on: when it is more likely than not.
CONFIDENT = 0.5


class Comparison:
    """Compares a query with chunks."""

    def __init__(
        self,
        store: Store,
        model: MemoryModel,
        query: str,
        scope: Scope,
        embedding: NDArray[np.float32] | None = None,
        cosines: Mapping[int, float] | None = None,
    ) -> None:
        """Nothing is compared yet.

        Args:
            store: The open store.
            model: Embeds the query, where its cosines count.
            query: The part of the query that is searched for, see `agentmem.retrieval.focus`.
            scope: The chunks among which words are rare or not.
            embedding: Of the query, if it is known already, float32 (K,).
            cosines: By id, as far as they are known already.
        """
        self._store, self._query, self._scope = store, query, scope
        self._model, self._embedding = model, embedding
        self._cosines = dict(cosines or {})
        self.counts_cosines = knows_cosines(model.fingerprint)

    def signals(self, ids: Sequence[int]) -> dict[int, Signals]:
        """What the query and each of these chunks have in common, by id.

        The cosine is 0 where it does not count: for another embedder, and for a damaged embedding.
        """
        if not ids:
            return {}
        words = self._store.word_matches(self._query, ids, self._scope)
        if self.counts_cosines:
            self._find_cosines(ids)
        return {
            id: Signals(
                self._cosines.get(id, 0.0) if self.counts_cosines else 0.0,
                weight / words.total if words.total else 0.0,
                weight / words.greatest,
                math.log1p(words.chunks),
            )
            for id, weight in words.found.items()
        }

    def _find_cosines(self, ids: Sequence[int]) -> None:
        missing = tuple(sorted(id for id in ids if id not in self._cosines))
        if not missing:
            return
        if self._embedding is None:
            token_ids = self._model.tokenizer.encode(self._query)
            self._embedding = embed_query(
                self._model.embedder, token_ids, self._model.codec.max_tokens
            )
        ranked = self._store.search_vectors(self._embedding, len(missing), Selection(ids=missing))
        self._cosines.update(zip(ranked.ids.tolist(), ranked.scores.tolist(), strict=True))


class Relevance:
    """Relevance of the hits of one query.

    Attributes:
        of_recall: How likely any memory of the scope holds what the query asks for, 0 to 1; 0 if
            nothing was found.
    """

    def __init__(self, comparison: Comparison, best: Sequence[int]) -> None:
        """Compare the query with the best chunks that a search found.

        Args:
            comparison: Of the query.
            best: Ids of the best chunks, at least `COMPARED` if there are so many.
        """
        self._comparison = comparison
        self._calibration = calibration(cosines=comparison.counts_cosines)
        self._evidence = self._evidence_of(best)
        self._best = max(self._evidence.values(), default=-math.inf)
        self.of_recall = self._calibration.of_recall(self._best) if best else 0.0

    def of_hits(self, ids: Sequence[int]) -> dict[int, float]:
        """Relevance of each of these chunks by id, whether they were among the best or not."""
        self._evidence |= self._evidence_of([id for id in ids if id not in self._evidence])
        return {id: self._calibration.of_hit(self._evidence[id], self._best) for id in ids}

    def _evidence_of(self, ids: Sequence[int]) -> dict[int, float]:
        found = self._comparison.signals(ids)
        return {id: self._calibration.evidence(one) for id, one in found.items()}
