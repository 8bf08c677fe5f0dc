"""How hits read as text: a line for each, with its date and speaker, in a block for a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.context.hits import Hit

# Marks recalled text in a prompt, so that a model (and an observer of the chat) can tell it from
# what was said now.
OPENING, CLOSING = "<memories>", "</memories>"


def who(hit: Hit) -> str:
    """Who speaks, as far as it was told; of a document, its title."""
    return hit.name or hit.source.title or hit.role or hit.source.kind


def line(hit: Hit) -> str:
    """A hit's exact text, with its date and speaker."""
    return f"[{hit.created_at:%Y-%m-%d}] {who(hit)}: {hit.text}"


def lines(hits: Sequence[Hit]) -> str:
    """A line for each, in the order given; "" if there are none."""
    return "\n".join(line(hit) for hit in hits)


def block(told: Sequence[str]) -> str:
    """Lines between the marks; "" if there are none."""
    return "\n".join([OPENING, *told, CLOSING]) if told else ""
