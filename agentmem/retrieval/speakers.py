"""Whose turns a question is about, and what it means aside from their names.

Every turn is embedded behind the name of its speaker. So the embedding of "what did Caroline
paint?" is near whatever Caroline says, and whatever is said to her. That a turn is of the speaker
whom the question names counts by itself (see `agentmem.retrieval.fusion`). In cosines, the name is
to count less: most of the component of the question's embedding that is along that of the name is
left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.expand import Neighborhood
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words import index_text

# Shorter parts of names are initials and particles.
_SHORTEST = 3
# Of the component along the names, what is left out. Chosen with the weight of the speaker, on
# dialogues and on questions with several answers, see benchmarks/LOG.md.
LEFT_OUT = 0.7
_WORD = unicode_pattern(r"[\p{L}\p{M}\p{N}]+")
# Names whose embeddings are kept: the same people are asked about again and again.
_MOST_KEPT = 256
_kept: WeakKeyDictionary[MemoryModel, dict[str, NDArray[np.float32]]] = WeakKeyDictionary()


class Named(NamedTuple):
    """The speakers whom a question names.

    Attributes:
        turns: Ids of their turns.
        words: The words of the question that name them.
    """

    turns: set[int]
    words: tuple[str, ...]


def named(question: str, neighborhood: Neighborhood) -> Named:
    """The turns of conversations whose speaker the question names, by any part of the name.

    What stands alone has none: it is about whom it names, whoever wrote it down.
    """
    asked = set(index_text(question).split())
    speakers = {turn.speaker for turn in neighborhood.turns.values() if turn.speaker}
    parts = {speaker: asked & _parts(speaker) for speaker in speakers}
    if not any(parts.values()):
        return Named(set(), ())
    turns, sides = neighborhood.turns, neighborhood.sides
    found = {id for id, turn in turns.items() if turn.speaker and parts[turn.speaker]}
    found -= {id for id, (before, after) in sides.items() if not before and not after}
    names = set().union(*(parts[one] for id in found if (one := turns[id].speaker)))
    words = [one for one in _WORD.findall(question) if not names.isdisjoint(_forms(one))]
    return Named(found, tuple(dict.fromkeys(words)))


def _parts(speaker: str) -> set[str]:
    """The words of a name that may name somebody."""
    name = bytes.fromhex(speaker).decode("utf-8", "replace")
    return {one for one in _forms(name) if len(one) >= _SHORTEST}


def _forms(name: str) -> list[str]:
    """The words of a name as they are indexed; most are plain, and splitting takes its time."""
    plain = name.isascii() and name.replace(" ", "").isalpha()
    return name.lower().split() if plain else index_text(name).split()


def aside_from(
    embedding: NDArray[np.float32], names: Iterable[str], model: MemoryModel
) -> NDArray[np.float32]:
    """The embedding (K,) of a question with less of the names in it, unit norm.

    Args:
        embedding: Of the question, float32 (K,), unit norm.
        names: Words of it, at least one.
        model: Embeds them.
    """
    along = np.sum([_embedded(name, model) for name in names], axis=0)
    squared = float(along @ along)
    if not squared:
        return embedding
    rest: NDArray[np.float32] = embedding - LEFT_OUT * float(embedding @ along) / squared * along
    return rest / np.linalg.norm(rest)


def _embedded(name: str, model: MemoryModel) -> NDArray[np.float32]:
    # Other threads recall with the same model, and may empty what is kept at any moment.
    kept = _kept.setdefault(model, {})
    found = kept.get(name)
    if found is None:
        found = model.embedder.embed_query(model.tokenizer.encode(name))
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[name] = found
    return found
