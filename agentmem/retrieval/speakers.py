"""Whose turns a question is about: those of whom it names."""

from __future__ import annotations

from functools import cache

from agentmem.retrieval.expand import Neighborhood
from agentmem_storage.words import index_text

# Shorter parts of names are initials and particles.
_SHORTEST = 3


def named(question: str, neighborhood: Neighborhood) -> set[int]:
    """The turns of conversations whose speaker the question names, by any part of the name.

    What stands alone has none: it is about whom it names, whoever wrote it down.
    """
    asked = set(index_text(question).split())
    sides = neighborhood.sides
    alone = {id for id, (before, after) in sides.items() if not before and not after}

    @cache
    def is_named(speaker: str) -> bool:
        name = bytes.fromhex(speaker).decode("utf-8", "replace")
        return any(len(word) >= _SHORTEST and word in asked for word in index_text(name).split())

    return {
        id
        for id, turn in neighborhood.turns.items()
        if id not in alone and turn.speaker and is_named(turn.speaker)
    }
