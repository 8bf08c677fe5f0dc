"""Filling a budget with hits, in an order that reads well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InputError
from agentmem.recall.hits import Hit, Recall

# Marks recalled text in a prompt, so that a model (and an observer of the chat) can tell it from
# what was said now.
OPENING, CLOSING = "<memories>", "</memories>"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Hits that fit a budget, oldest first.

    Attributes:
        hits: What is in it.
        left_out: How many hits did not fit.
        tokens: Tokens of the hits' texts.
        positions: Decoder positions of `latents`.
    """

    hits: tuple[Hit, ...]
    left_out: int
    tokens: int
    positions: int

    def to_text(self) -> str:
        """The exact texts, one block, each with its date and speaker; "" if there are none."""
        return _block([_line(hit) for hit in self.hits])

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
        """The memory vectors of all hits, int8 (positions, D)."""
        if not self.hits:
            return np.zeros((0, 0), dtype=np.int8)
        return np.concatenate([hit.latents for hit in self.hits])


def pack(
    recall: Recall, *, max_tokens: int | None = None, max_positions: int | None = None
) -> Context:
    """Take hits in order of score while they fit; then put them in the order they were said.

    A hit that does not fit is passed over, and smaller ones behind it may still go in.

    Args:
        recall: What was found.
        max_tokens: Budget for `Context.to_text`, in tokens of the bundle's tokenizer.
        max_positions: Budget for `Context.latents`, in decoder positions.

    Raises:
        InputError: no budget, or one that is not positive.
    """
    budgets = {"max_tokens": max_tokens, "max_positions": max_positions}
    if all(budget is None for budget in budgets.values()):
        raise InputError("pack() needs a budget: max_tokens=... or max_positions=...")
    for name, budget in budgets.items():
        if budget is None:
            continue
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise TypeError(f"{name} is a whole number, not {budget!r}")
        if budget < 1:
            raise InputError(f"{name}={budget!r}: a budget is at least 1")
    taken: list[Hit] = []
    spent = recall.count_tokens(_block([""])) if max_tokens is not None else 0
    positions = 0
    for hit in recall.hits:
        # Lines are counted by themselves: joined, they have no more tokens than that.
        cost = recall.count_tokens(_line(hit) + "\n") if max_tokens is not None else 0
        over_tokens = max_tokens is not None and spent + cost > max_tokens
        over_positions = max_positions is not None and positions + hit.positions > max_positions
        if not (over_tokens or over_positions):
            taken.append(hit)
            spent, positions = spent + cost, positions + hit.positions
    taken.sort(key=lambda hit: (hit.created_at, hit.id))
    return Context(
        tuple(taken),
        left_out=len(recall.hits) - len(taken),
        tokens=sum(hit.tokens for hit in taken),
        positions=positions,
    )


def _line(hit: Hit) -> str:
    who = hit.name or hit.source.title or hit.role or hit.source.kind
    return f"[{hit.created_at:%Y-%m-%d}] {who}: {hit.text}"


def _block(lines: Sequence[str]) -> str:
    return "\n".join([OPENING, *lines, CLOSING]) if lines else ""
