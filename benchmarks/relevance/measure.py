"""Asks every question of every store, and keeps what each hit and the question have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.retrieval.calibration import Signals
from agentmem.retrieval.focus import embed_query, focused
from agentmem.retrieval.question import Question
from agentmem.retrieval.relevance import COMPARED, Comparison
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from benchmarks.relevance.items import Ask, Group


@dataclass(frozen=True, slots=True)
class Case:
    """One question and its hits.

    Attributes:
        kind: Kind of its store.
        size: Messages that the store was filled with.
        ask: The question.
        signals: Of the hits, best first, (N, 4), in the order of `Signals`.
        right: Which of them hold the evidence, (N,).
    """

    kind: str
    size: int
    ask: Ask
    signals: NDArray[np.float64]
    right: NDArray[np.bool_]


def measure(groups: Sequence[Group]) -> Iterator[Case]:
    """The cases of all stores, which share one file; a question that finds nothing has no case.

    Without reranker: it has no part in relevance, and would take most of the time.
    """
    model = load_bundle()
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory(folder, model=model) as memory,
        Store.open(folder, model=model.fingerprint, embedding_dims=model.embedder.dims) as store,
    ):
        for number, group in enumerate(track(groups, "asking")):
            user = str(number)
            sources = memory.add(group.messages, user_id=user).sources
            for ask in group.asks:
                hits = memory.recall(ask.text, k=COMPARED, user_id=user, rerank=None)
                if not hits:
                    continue
                ids = [hit.id for hit in hits]
                found = _signals(store, model, ask.text, Scope(user_id=user), ids)
                wanted = {sources[at] for at in ask.evidence}
                yield Case(
                    group.kind,
                    group.size,
                    ask,
                    np.array([found[id] for id in ids], dtype=np.float64),
                    np.array([hit.source.id in wanted for hit in hits]),
                )


def _signals(
    store: Store, model: ModelBundle, query: str, scope: Scope, ids: Sequence[int]
) -> dict[int, Signals]:
    text = focused(query, model.tokenizer)
    token_ids = model.tokenizer.encode(text)
    embedding = embed_query(model.embedder, token_ids, model.codec.max_tokens)
    question = Question(text, text, token_ids, embedding, None)
    return store.snapshot(
        lambda one: Comparison(one, question, scope, counts_cosines=True).signals(ids)
    )
