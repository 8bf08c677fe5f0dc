"""Runs one recall: search, then load the ranked ids as hits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from functools import partial

from agentmem.context.decode import exact_texts
from agentmem.context.full_scope import FullScope
from agentmem.context.hits import Hit
from agentmem.context.load import load_hits
from agentmem.context.recall import Recall, make_recall
from agentmem.models.base import MemoryModel
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import read_question
from agentmem.retrieval.search import SearchResult, search
from agentmem.retrieval.supersession import Wording
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store


def run_recall(store: Store, model: MemoryModel, query: RecallQuery) -> Recall:
    """Find the ``k`` chunks that match a query best, and expand them, from one state of the store.

    Raises:
        InputError: the query is blank or not valid Unicode, ``k`` is not positive, the least
            relevance is not from 0 to 1, or the mode, expansion, order, reranking or preference is
            unknown.
        ModelError: reranking is requested, and the model has no reranker.
        FilterError: the filter is malformed.
    """
    query.check(model)
    question = read_question(query, model)
    zone = query.now.tzinfo or UTC

    def found_in(snapshot: Snapshot) -> tuple[SearchResult, tuple[Hit, ...], tuple[str, ...]]:
        read = partial(read_wordings, snapshot, model)
        found = search(snapshot, model, query, question, read)
        hits = load_hits(
            snapshot,
            model,
            found.ranked,
            found.relevance,
            scope=query.selection.scope,
            zone=zone,
        )
        unknown = () if found.candidates else snapshot.unknown_keys(query.selection)
        return found, hits, unknown

    found, hits, unknown = store.snapshot(found_in)
    if query.order == "time":
        hits = tuple(sorted(hits, key=lambda hit: hit.order))
    full_scope = FullScope(store, model, query.selection, found.candidates, zone)
    relevance = found.recall_relevance
    return make_recall(query.text, hits, found.candidates, relevance, full_scope, unknown)


def read_wordings(snapshot: Snapshot, model: MemoryModel, ids: Sequence[int]) -> dict[int, Wording]:
    """Exact texts and embeddings of chunks by id, without damaged ones."""
    records = snapshot.chunks(ids, keep_damaged=True)
    return {
        record.id: Wording(text, record.embedding)
        for record, text in zip(records, exact_texts(model, records), strict=True)
        if isinstance(text, str)
    }
