"""Hits as prompt text: one dated line per hit, inside a marked block."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.context.hits import Hit

# Marks recalled text in a prompt, so that a model (or a person reading the log) can tell it from
# the conversation itself.
OPENING, CLOSING = "<memories>", "</memories>"


def line(hit: Hit) -> str:
    """A hit's exact text, with its date and speaker."""
    return f"[{hit.created_at:%Y-%m-%d}] {hit.speaker}: {hit.text}"


def lines(hits: Sequence[Hit]) -> str:
    """One line per hit, in the given order; "" if there are none."""
    return "\n".join(line(hit) for hit in hits)


def block(body: Sequence[str]) -> str:
    """Lines between the marks; "" if there are none."""
    return "\n".join([OPENING, *body, CLOSING]) if body else ""
