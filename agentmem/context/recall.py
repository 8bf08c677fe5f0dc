"""`Recall`: the hits of one query, in order, ready to be read, printed or packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

from agentmem.context.full_scope import FullScope
from agentmem.context.hits import Hit
from agentmem.context.pack import Context, CountTokens, Policy, pack
from agentmem.retrieval.relevance import CONFIDENT


class _WithFullScope:
    """Holds the link to the store outside the dataclass fields, so that copies leave it behind."""

    __slots__ = ("_full_scope",)
    _full_scope: FullScope | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recall(_WithFullScope, Sequence[Hit]):
    """The hits of one query, best first or in the requested order.

    A sequence of `Hit`: iterate over it, index it, slice it; a slice is a `Recall` of the same
    query with some of the hits. Like a hit it can be pickled, copied and passed to
    `dataclasses.asdict`; copies and slices have no link to the store, which only
    ``pack(policy="auto")`` needs.

    Attributes:
        query: The query.
        hits: The hits, each followed by the ones it added through ``expand=``.
        candidates: How many chunks matched the scope, filters and times.
        relevance: How likely the memories answer the query at all, 0 to 1; comparable across
            recalls and stores. It does not depend on ``min_relevance``. See
            `agentmem.retrieval.relevance`.
        unknown_keys: If nothing matched, the metadata keys of the filter that no memory of the
            scope has, perhaps misspelled.
    """

    query: str
    hits: tuple[Hit, ...]
    candidates: int
    relevance: float
    unknown_keys: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Recall: ...
    def __getitem__(self, index: int | slice) -> Hit | Recall:
        if not isinstance(index, slice):
            return self.hits[index]
        return replace(self, hits=self.hits[index])

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __repr__(self) -> str:
        unknown = f", no memory has {', '.join(self.unknown_keys)}" if self.unknown_keys else ""
        return f"Recall({self.query!r}, {len(self)} of {self.candidates} memories{unknown})"

    def __str__(self) -> str:
        return "\n".join([repr(self), *(f"  {hit!r}" for hit in self)])

    @property
    def confident(self) -> bool:
        """Whether it is more likely than not that the memories answer the query.

        ::

            hits = mem.recall("what is my blood type?", user_id="ana")
            if not hits.confident:
                ...  # nothing fits: ask, or say so
        """
        return self.relevance >= CONFIDENT

    @property
    def full_scope(self) -> FullScope | None:
        """Everything this recall could have returned; None for a copied or unpickled recall."""
        return getattr(self, "_full_scope", None)

    def pack(
        self,
        *,
        max_tokens: int | None = None,
        max_positions: int | None = None,
        texts: int = 0,
        policy: Policy = "ranked",
        count_tokens: CountTokens | None = None,
    ) -> Context:
        """Fill a budget with the best hits, or with the whole scope; see `agentmem.pack`.

        ::

            hits.pack(max_tokens=600).to_messages("openai")     # text for a chat API
            hits.pack(max_positions=256, policy="auto")         # vectors; everything if it fits
        """
        return pack(
            self,
            max_tokens=max_tokens,
            max_positions=max_positions,
            texts=texts,
            policy=policy,
            count_tokens=count_tokens,
        )


def make_recall(
    query: str,
    hits: Sequence[Hit],
    candidates: int,
    relevance: float,
    full_scope: FullScope,
    unknown_keys: Sequence[str] = (),
) -> Recall:
    """A recall that is linked to its store."""
    made = Recall(query, tuple(hits), candidates, relevance, tuple(unknown_keys))
    object.__setattr__(made, "_full_scope", full_scope)
    return made
