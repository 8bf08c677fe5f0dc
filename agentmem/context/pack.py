"""Filling a budget with memories, in an order that reads well.

A context can be taken in two ways. For a chat API it is text, all of it (`Context.to_text`,
`Context.to_messages`). For a reader it is mixed: memory vectors for the many, exact text for the
few whose vectors say too little, or that matter most. Then

- a hit goes in as vectors, one position each;
- a hit whose vectors alone regenerate less than `MIN_FIDELITY` of its tokens goes in as text, one
  position per token, or not at all;
- the ``texts`` best hits go in as text too, or as vectors where their text does not fit.

Which memories go in is a matter of policy:

- ``ranked``: hits only, the best first. The same text of the same speaker goes in once, however
  often it was said; the best of such repeats stands for all, with its date. A hit that says nearly
  what is in already (the cosine of their keys is `agentmem.context.budget.ALIKE` or more) waits
  until all others have had their turn.
- ``auto``: everything that the recall's scope, filters and times let through, found or not, if all
  of it fits the budget as vectors, and as text where ``max_tokens`` is given: a model that reads a
  whole short history answers better than one that reads what a search picked from it (ConvoMem,
  arXiv 2511.10523). It goes in as it was said, repeats too: a second "Yes." may answer another
  question. If it does not fit: ``ranked``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentmem.context.budget import Filling, fill_with_best, fill_with_everything
from agentmem.context.format import block, line, lines
from agentmem.context.hits import Hit
from agentmem.context.whole import Whole
from agentmem.errors import InputError

Policy = Literal["ranked", "auto"]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Memories that fit a budget, oldest first, those of one document as they stand there.

    ::

        context = hits.pack(max_tokens=600)
        messages = context.to_messages("openai") + chat

    Attributes:
        vectors: Hits that a reader gets as memory vectors.
        texts: Hits that it gets as text.
        left_out: How many hits did not fit.
        repeats: How many hits are left out because they read like a better one but for the date.
        tokens: Tokens of the hits' texts.
        positions: Decoder positions of `latents` and of `text`, by the bundle's tokenizer. The
            separators that a reader puts between memories come on top.
    """

    vectors: tuple[Hit, ...]
    texts: tuple[Hit, ...]
    left_out: int
    repeats: int
    tokens: int
    positions: int

    @property
    def hits(self) -> tuple[Hit, ...]:
        """What is in it."""
        return tuple(sorted((*self.vectors, *self.texts), key=_when))

    def to_text(self) -> str:
        """The exact texts, one block, each with its date and speaker; "" if there are none."""
        return block([line(hit) for hit in self.hits])

    def to_messages(
        self, format: Literal["openai", "anthropic"] = "openai"
    ) -> list[dict[str, Any]]:
        """The block as messages to put before a chat; none if there are no hits.

        OpenAI-style chats get a system message. Anthropic's have no such role among the messages:
        they get a user message with one text block.
        """
        if format not in ("openai", "anthropic"):
            raise InputError(f"unknown format {format!r}: 'openai' or 'anthropic'")
        text = self.to_text()
        if not text:
            return []
        if format == "openai":
            return [{"role": "system", "content": text}]
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]

    @property
    def latents(self) -> NDArray[np.int8]:
        """The memory vectors of `vectors`, int8 (M, D)."""
        if not self.vectors:
            return np.zeros((0, 0), dtype=np.int8)
        return np.concatenate([hit.latents for hit in self.vectors])

    @property
    def text(self) -> str:
        """What a reader gets as text, each with its date and speaker; "" if there is none."""
        return lines(self.texts)


def pack(
    hits: Sequence[Hit],
    whole: Whole,
    count_tokens: Callable[[str], int],
    *,
    max_tokens: int | None = None,
    max_positions: int | None = None,
    texts: int = 0,
    policy: Policy = "ranked",
) -> Context:
    """Choose memories that fit a budget, and put them in the order they were said.

    A hit that does not fit is passed over, and smaller ones behind it may still go in.

    Args:
        hits: What was found.
        whole: All that there was to find.
        count_tokens: How text is counted, in tokens of the bundle's tokenizer.
        max_tokens: Budget for `Context.to_text`, in tokens of the bundle's tokenizer.
        max_positions: Budget for `Context.latents` and `Context.text`, in decoder positions.
        texts: How many of the best hits a reader gets as text whatever their fidelity.
        policy: ``ranked`` or ``auto``, see above. The latter asks the store, which must be open,
            for what it holds now; it loads no memory unless the database's sums are within the
            budget.

    Raises:
        InputError: no budget, one that is not positive, a negative number of texts, or an unknown
            policy.
        CorruptRecordError: a memory that would go in is damaged.
        StoreError: the policy is ``auto``, and the store has been closed.
    """
    if max_tokens is None and max_positions is None:
        raise InputError("pack() needs a budget: max_tokens=... or max_positions=...")
    _check("max_tokens", max_tokens, least=1)
    _check("max_positions", max_positions, least=1)
    _check("texts", texts, least=0)
    if policy not in get_args(Policy):
        raise InputError(f"unknown policy {policy!r}: 'ranked' or 'auto'")

    def empty() -> Filling:
        return Filling(count_tokens, max_tokens=max_tokens, max_positions=max_positions)

    if policy == "auto" and _may_fit(whole, max_tokens, max_positions):
        filling = empty()
        if fill_with_everything(filling, hits, whole, texts):
            return _context(filling, count_tokens, left_out=0, repeats=0)
    filling = empty()
    repeats = fill_with_best(filling, hits, texts)
    left_out = len(hits) - repeats - len(filling.vectors) - len(filling.texts)
    return _context(filling, count_tokens, left_out=left_out, repeats=repeats)


def _may_fit(whole: Whole, max_tokens: int | None, max_positions: int | None) -> bool:
    """Whether everything may fit, by sums that are never above what it takes.

    A memory takes at least a position of a reader; and of a text more tokens than its own, since
    a date and a speaker come before them.
    """
    limits = [limit for limit in (max_tokens, max_positions) if limit is not None]
    if whole.count > min(limits):
        return False
    sums = whole.sums()
    return (max_tokens is None or sums.tokens <= max_tokens) and (
        max_positions is None or sums.positions <= max_positions
    )


def _context(
    filling: Filling, count_tokens: Callable[[str], int], *, left_out: int, repeats: int
) -> Context:
    vectors, told = (tuple(sorted(some, key=_when)) for some in (filling.vectors, filling.texts))
    text = lines(told)
    return Context(
        vectors,
        told,
        left_out=left_out,
        repeats=repeats,
        tokens=sum(hit.tokens for hit in (*vectors, *told)),
        positions=sum(hit.positions for hit in vectors)
        + (count_tokens(text + "\n") if text else 0),
    )


def _check(name: str, number: int | None, *, least: int) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is a whole number, not {number!r}")
    if number < least:
        kind = "a budget" if least else "a number of hits"
        raise InputError(f"{name}={number!r}: {kind} is at least {least}")


def _when(hit: Hit) -> tuple[datetime, int]:
    return hit.created_at, hit.id
