"""What one query gives back: the ranked ids of `agentmem.retrieval`, read as hits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import overload

from agentmem.context.decode import Loader
from agentmem.context.hits import Hit
from agentmem.context.pack import Context, Policy, pack
from agentmem.context.whole import Whole
from agentmem.errors import UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem.retrieval.query import Asked
from agentmem.retrieval.search import Found, search
from agentmem_storage.store import Store

# How often to begin anew when somebody has just forgotten what this search had found. Each time
# costs the others a whole `forget`, so that only a store that contradicts itself gets to the end.
_TRIES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Recall(Sequence[Hit]):
    """The hits of one query, best first or in the order that was asked for.

    Attributes:
        query: What was asked.
        hits: The hits, each followed by what it brought by ``expand=``.
        candidates: How many chunks the scope, filters and times let through to the search.
        count_tokens: How text is counted in `pack`.
        whole: All of these candidates, not loaded yet.
    """

    query: str
    hits: tuple[Hit, ...]
    candidates: int
    count_tokens: Callable[[str], int] = field(repr=False)
    whole: Whole = field(repr=False)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def pack(
        self,
        *,
        max_tokens: int | None = None,
        max_positions: int | None = None,
        texts: int = 0,
        policy: Policy = "ranked",
    ) -> Context:
        """Fill a budget with the best hits, or with all there is; see `agentmem.context.pack.pack`.

        ::

            hits.pack(max_tokens=600).to_messages("openai")     # text for a chat API
            hits.pack(max_positions=256, policy="auto")         # vectors; of all, if all fit
        """
        return pack(
            self.hits,
            self.whole,
            self.count_tokens,
            max_tokens=max_tokens,
            max_positions=max_positions,
            texts=texts,
            policy=policy,
        )


def recall(store: Store, model: MemoryModel, asked: Asked) -> Recall:
    """Find the ``k`` chunks of a selection that fit a query best, and what they bring.

    Raises:
        InputError: the query is blank or not Unicode, ``k`` is not positive, or the mode, the
            expansion, the order or the reranking is unknown.
        ModelError: reranking is asked for, and the model bundle has no reranker.
        FilterError: the selection's filter has a wrong shape.
    """
    asked.check(model)
    for _ in range(_TRIES):
        with suppress(UnknownIdError):
            return _recall(store, model, asked)
    return _recall(store, model, asked)


def _recall(store: Store, model: MemoryModel, asked: Asked) -> Recall:
    found = search(store, model, asked)
    hits = _read(store, model, found)
    if asked.order == "time":
        hits = tuple(sorted(hits, key=lambda hit: (hit.created_at, hit.id)))
    return Recall(
        query=asked.query,
        hits=hits,
        candidates=found.candidates,
        count_tokens=lambda text: len(model.tokenizer.encode(text)),
        whole=Whole(store, model, asked.selection, found.candidates),
    )


def _read(store: Store, model: MemoryModel, found: Found) -> tuple[Hit, ...]:
    records = store.chunks([item.id for item, _ in found.chosen], keep_damaged=True)
    sources = {s.id: s for s in store.sources({r.source_id for r in records}, keep_damaged=True)}
    loader = Loader(model, records)
    return tuple(
        Hit(record, sources[record.source_id], loader, item.score, item.explain, brought_by)
        for record, (item, brought_by) in zip(records, found.chosen, strict=True)
    )
