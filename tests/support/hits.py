"""Recalls with altered hits."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem import Hit, Recall
from agentmem.context.recall import make_recall


def with_hits(found: Recall, hits: Sequence[Hit]) -> Recall:
    """The same recall with other hits, still linked to its store."""
    assert found.full_scope is not None
    return make_recall(found.query, hits, found.candidates, found.relevance, found.full_scope)
