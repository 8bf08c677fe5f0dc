"""`RecallQuery`: the parameters of one recall, validated before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from numbers import Integral, Real
from typing import Literal, get_args

from agentmem.errors import InputError
from agentmem.ingest.checks import check_unicode
from agentmem.models.base import MemoryModel, no_reranker
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Selection
from agentmem_storage.text import is_blank, shown

Mode = Literal["hybrid", "vector", "lexical"]
Order = Literal["relevance", "time"]
Expand = Literal["episode", "neighbors"]
Rerank = Literal["auto", "latent"]
Prefer = Literal["auto", "latest", "any"]


@dataclass(frozen=True, slots=True)
class RecallQuery:
    """The parameters of one recall; see `agentmem.Memory.recall`.

    Attributes:
        text: A question or keywords.
        k: How many chunks to find at most.
        selection: The chunks that may be returned.
        mode: Which searches to combine.
        expand: What to add to each chunk found.
        order: How the hits are sorted.
        now: The current time, with a time zone; dates in the text are relative to it.
        rerank: Whether the best candidates are reranked.
        min_relevance: The least relevance of a chunk, 0 to 1; None: any.
        prefer: Which of several chunks that supersede each other come first.
    """

    text: str
    k: int
    selection: Selection
    mode: Mode
    expand: Expand | None
    order: Order
    now: datetime
    rerank: Rerank | None = "auto"
    min_relevance: float | None = None
    prefer: Prefer = "auto"

    def __post_init__(self) -> None:
        """Accept integers of any kind.

        Raises:
            TypeError: ``k`` is not an integer.
        """
        object.__setattr__(self, "k", as_int(self.k, "k"))

    def check(self, model: MemoryModel) -> None:
        """Validate the parameters, also against what the model can do.

        Raises:
            InputError: the text is blank or not valid Unicode, ``k`` is not positive, the least
                relevance is not from 0 to 1, or the mode, expansion, order, reranking or
                preference is unknown.
            ModelError: reranking is requested, and the model has no reranker.
        """
        text, k = self.text, self.k
        if not isinstance(text, str):
            raise TypeError(f"the query must be a string, not {type(text).__name__}")
        if is_blank(text):
            raise InputError(f"the query {text!r} is blank")
        check_unicode(text, "the query")
        if k < 1:
            raise InputError(f"k={k!r} must be at least 1")
        _check_min_relevance(self.min_relevance)
        _check_choice("mode", self.mode, get_args(Mode))
        _check_choice("expand", self.expand, (None, *get_args(Expand)))
        _check_choice("order", self.order, get_args(Order))
        _check_choice("prefer", self.prefer, get_args(Prefer))
        _check_choice("rerank", self.rerank, (None, *get_args(Rerank)))
        if self.rerank == "latent" and model.reranker is None:
            raise no_reranker(model.name)


def _check_min_relevance(least: object) -> None:
    if least is None:
        return
    if isinstance(least, bool) or not isinstance(least, Real):
        raise TypeError(f"min_relevance must be a number from 0 to 1, not {shown(least)}")
    # Not all are floats, and no float holds some integers.
    value = int(least) if isinstance(least, Integral) else float(least)
    if not 0 <= value <= 1:
        raise InputError(f"min_relevance={shown(least)} must be from 0 to 1")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    # What NumPy's arrays are equal to is no truth value.
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise InputError(f"unknown {name} {shown(value)}: one of {', '.join(map(repr, choices))}")
