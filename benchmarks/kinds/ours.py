"""agentmem's rankings: `Memory.add` and `Memory.recall`, in several ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from agentmem import Document, Memory
from benchmarks.kinds.collection import Adding, Collection, Item, Kind, questions_of

DEFAULT = "agentmem"
# The options of `Memory.recall` for each way.
WAYS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "agentmem, reranked": {"rerank": "latent"},
    "agentmem, words alone": {"mode": "lexical"},
    "agentmem, vectors alone": {"mode": "vector"},
}
# Several hits may be of one document; ten documents are scored.
_HITS = 40

# Indices of the items that became one source, by source.
Indices = dict[int, list[int]]


def add(memory: Memory, kind: Kind) -> dict[str, Indices]:
    """Add all collections, each as the memory of its own user."""
    return {one.id: _add(memory, one, kind.adding) for one in kind.collections}


def rankings(
    memory: Memory, kind: Kind, added: dict[str, Indices], way: str
) -> Iterator[list[int]]:
    """Indices of the items that are found, best first, for each question.

    Args:
        memory: Holds the collections.
        kind: What is asked.
        added: What `add` returned.
        way: One of `WAYS`.
    """
    for collection, question in questions_of(kind):
        hits = memory.recall(
            question.text, k=_HITS, user_id=collection.id, now=collection.now, **WAYS[way]
        )
        sources = dict.fromkeys(hit.source.id for hit in hits)
        yield [index for source in sources for index in added[collection.id][source]]


def _add(memory: Memory, collection: Collection, adding: Adding) -> Indices:
    indices: Indices = defaultdict(list)
    for index, source in enumerate(_sources(memory, collection, adding)):
        indices[source].append(index)
    return indices


def _sources(memory: Memory, collection: Collection, adding: Adding) -> Sequence[int]:
    """The source of each item, in order."""
    user = collection.id
    if adding == "conversation":
        return memory.add([_message(item) for item in collection.items], user_id=user).sources
    return [
        memory.add(
            Document(item.content, created_at=item.at) if adding == "document" else _message(item),
            user_id=user,
        ).sources[0]
        for item in collection.items
    ]


def _message(item: Item) -> dict[str, Any]:
    return (
        {"role": "user", "content": item.content}
        | ({"name": item.name} if item.name else {})
        | ({"at": item.at} if item.at else {})
    )
