"""Relevance: how likely a hit answers the query, comparable across queries and stores.

The score of a hit only orders the hits of one recall. Its relevance is a probability, from what the
query and the memory have in common, whatever the mode of the recall and with or without reranker:

- cosine: of the embeddings of query and memory;
- share: of the weight of the query's words, those that the memory contains. Rare words of a scope
  weigh most, and stop words nothing, so a query of nothing but stop words is relevant to nothing;
  a time as seen from now is no word of the query, as it is another time in a memory;
- information: the weight of the words that it contains, in units of the rarest: one rare word that
  is all of a query tells less than five of them;
- memories: the logarithm of the number of memories in the scope: among many, one of them resembles
  any query.

A logistic regression makes evidence of them, in log-odds::

    evidence = weights · (cosine, share, information, memories) + bias
    hit      = sigmoid(scale * evidence + lag * (evidence - that of the best) + bias)
    recall   = sigmoid(scale * best + bend * max(0, best + 1) + bias), best = evidence of the best

The second is how likely the hit is the one that holds what the query asks for; a hit with less
evidence than another is less likely to be it. The third is how likely any memory of the scope holds
it; where the scope has a single memory, both are the third. The numbers are fitted on questions
with and without evidence, in stores of several kinds and sizes, by
``python -m benchmarks.relevance``.

A question that asks for nothing but a time ("what did I do yesterday?") is answered by whatever is
of that time, whatever they have in common: such a hit, and a recall with one, have at least
`OF_ITS_TIME`, which is not fitted.

What all texts of a language have in common for the embedder is taken off the cosine, and the
rest of it is stretched to 1, see `agentmem.retrieval.languages`. The larger that is, the less the
cosine tells: so much of the evidence is that of the words alone.

Cosines differ from model to model. Where the embeddings are not those of the bundle that the
numbers were fitted with, the words alone make the evidence, with numbers of their own.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

from agentmem.retrieval.calibration import Signals, calibration
from agentmem.retrieval.languages import baseline
from agentmem.retrieval.question import Question
from agentmem_storage.records import Scope, Selection
from agentmem_storage.snapshot import Snapshot

# Hits are compared with the best of at least so many, so that relevance hardly depends on k.
COMPARED = 8
# A recall is confident from this relevance on: when it is more likely than not.
CONFIDENT = 0.5
# Of what is of the time that is all that a question asks for: nearly certain, if the time was read
# right.
OF_ITS_TIME = 0.9


class Comparison:
    """Compares a query with chunks.

    Attributes:
        counts_cosines: Whether the numbers were fitted with these embeddings.
        baseline: The cosine that the query has with any text of its language.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        question: Question,
        scope: Scope,
        *,
        counts_cosines: bool,
        cosines: Mapping[int, float] | None = None,
    ) -> None:
        """Nothing is compared yet.

        Args:
            snapshot: The state of the store.
            question: What the query asks.
            scope: The chunks among which words are rare or not.
            counts_cosines: Whether the numbers were fitted with these embeddings; see
                `agentmem.retrieval.calibration.knows_cosines`.
            cosines: By id, as far as they are known already.
        """
        self._snapshot, self._question, self._scope = snapshot, question, scope
        self._cosines = dict(cosines or {})
        self.counts_cosines = counts_cosines
        embedding = question.embedding
        self.baseline = 0.0 if embedding is None or not counts_cosines else baseline(embedding)

    @property
    def single(self) -> bool:
        """Whether the scope has a single memory."""
        return self._snapshot.count(Selection(scope=self._scope)) == 1

    def signals(self, ids: Sequence[int]) -> dict[int, Signals]:
        """What the query and each of these chunks have in common, by id.

        The cosine is 0 where it does not count: for another embedder, and for a damaged embedding.
        """
        if not ids:
            return {}
        words = self._snapshot.word_matches(self._question.words, ids, self._scope)
        if self.counts_cosines:
            self._find_cosines(ids)
        return {
            id: Signals(
                self._cosine(id),
                weight / words.total if words.total else 0.0,
                weight / words.greatest,
                math.log1p(words.chunks),
            )
            for id, weight in words.found.items()
        }

    def _cosine(self, id: int) -> float:
        if not self.counts_cosines or id not in self._cosines:
            return 0.0
        return (self._cosines[id] - self.baseline) / (1 - self.baseline)

    def _find_cosines(self, ids: Sequence[int]) -> None:
        missing = [id for id in ids if id not in self._cosines]
        if missing and self._question.embedding is not None:
            ranked = self._snapshot.cosines(self._question.embedding, missing)
            self._cosines.update(zip(ranked.ids.tolist(), ranked.scores.tolist(), strict=True))


class Relevance:
    """Relevance of the hits of one query.

    Attributes:
        of_recall: How likely any memory of the scope holds what the query asks for, 0 to 1; 0 if
            nothing was found.
    """

    def __init__(
        self, comparison: Comparison, best: Sequence[int], *, timely: Container[int] = ()
    ) -> None:
        """Compare the query with the best chunks that a search found.

        Args:
            comparison: Of the query.
            best: Ids of the best chunks, at least `COMPARED` if there are so many.
            timely: Ids of the chunks that are of the time that is all that the query asks for.
        """
        self._comparison, self._timely = comparison, timely
        self._calibration = calibration(cosines=comparison.counts_cosines)
        self._of_words = calibration(cosines=False)
        self._evidence = self._evidence_of(best)
        self._best = max(self._evidence.values(), default=-math.inf)
        self.of_recall = self._calibration.of_recall(self._best) if best else 0.0
        if any(id in timely for id in best):
            self.of_recall = max(self.of_recall, OF_ITS_TIME)

    def of_hits(self, ids: Sequence[int]) -> dict[int, float]:
        """Relevance of each of these chunks by id, whether they were among the best or not."""
        self._evidence |= self._evidence_of([id for id in ids if id not in self._evidence])
        return {id: max(self._of_hit(id), OF_ITS_TIME * (id in self._timely)) for id in ids}

    def _of_hit(self, id: int) -> float:
        if self._comparison.single:
            return self._calibration.of_recall(self._evidence[id])
        return self._calibration.of_hit(self._evidence[id], self._best)

    def _evidence_of(self, ids: Sequence[int]) -> dict[int, float]:
        found, by_words = self._comparison.signals(ids), self._comparison.baseline
        return {
            id: (1 - by_words) * self._calibration.evidence(one)
            + by_words * self._of_words.evidence(one)
            for id, one in found.items()
        }
