"""What a recall asks for, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from agentmem.errors import InputError
from agentmem.models.base import MemoryModel, no_reranker
from agentmem_storage.records import Selection

Mode = Literal["hybrid", "keys", "lexical"]
Order = Literal["relevance", "time"]
Expand = Literal["episode", "neighbours"]
Rerank = Literal["auto", "latent"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recall asks for; see `agentmem.Memory.recall`.

    Attributes:
        query: A question, or words.
        k: How many chunks to find at most.
        selection: The only chunks that may be given back.
        mode: Which signs count.
        expand: What each found chunk brings.
        order: How hits are put.
        now: The present moment, with a zone, for what the query says of time.
        rerank: Whether the best are looked at again.
    """

    query: str
    k: int
    selection: Selection
    mode: Mode
    expand: Expand | None
    order: Order
    now: datetime
    rerank: Rerank | None = "auto"

    def check(self, model: MemoryModel) -> None:
        """Refuse what cannot be asked, or not of this model.

        Raises:
            InputError: the query is blank or not Unicode, ``k`` is not positive, or the mode, the
                expansion, the order or the reranking is unknown.
            ModelError: reranking is asked for, and the model bundle has no reranker.
        """
        query, k = self.query, self.k
        if not isinstance(query, str):
            raise TypeError(f"a query is a string, not {type(query).__name__}")
        if not query.strip():
            raise InputError(f"the query {query!r} is blank: ask for something")
        try:
            query.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"the query has a lone surrogate at {error.start}: remove it"
            ) from None
        if isinstance(k, bool) or not isinstance(k, int):
            raise TypeError(f"k is a whole number, not {k!r}")
        if k < 1:
            raise InputError(f"k={k!r}: ask for at least one hit")
        _one_of("mode", self.mode, get_args(Mode))
        _one_of("expand", self.expand, (None, *get_args(Expand)))
        _one_of("order", self.order, get_args(Order))
        _one_of("rerank", self.rerank, (None, *get_args(Rerank)))
        if self.rerank == "latent" and model.reranker is None:
            raise no_reranker(model.name)


def _one_of(name: str, word: object, known: tuple[object, ...]) -> None:
    if word not in known:
        raise InputError(f"unknown {name} {word!r}: one of {', '.join(map(repr, known))}")
