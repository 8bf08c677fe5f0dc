"""Runs one recall: search, then load the ranked ids as hits."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC

from agentmem.context.full_scope import FullScope
from agentmem.context.load import load_hits
from agentmem.context.recall import Recall, make_recall
from agentmem.errors import UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.search import search
from agentmem_storage.store import Store

# Retries when another writer forgets a chunk between the search and the loading of its row. Each
# retry takes the other writer a complete `forget`, so only an inconsistent store uses them all.
_RETRIES = 100


def run_recall(store: Store, model: MemoryModel, query: RecallQuery) -> Recall:
    """Find the ``k`` chunks that match a query best, and expand them.

    Raises:
        InputError: the query is blank or not valid Unicode, ``k`` is not positive, the least
            relevance is not from 0 to 1, or the mode, expansion, order or reranking is unknown.
        ModelError: reranking is requested, and the model has no reranker.
        FilterError: the filter is malformed.
    """
    query.check(model)
    for _ in range(_RETRIES):
        with suppress(UnknownIdError):
            return _run(store, model, query)
    return _run(store, model, query)


def _run(store: Store, model: MemoryModel, query: RecallQuery) -> Recall:
    found = search(store, model, query)
    zone = query.now.tzinfo or UTC
    hits = load_hits(store, model, found.ranked, found.relevance, zone=zone)
    if query.order == "time":
        hits = tuple(sorted(hits, key=lambda hit: hit.order))
    full_scope = FullScope(store, model, query.selection, found.candidates, zone)
    return make_recall(query.text, hits, found.candidates, found.recall_relevance, full_scope)
