"""Which words of a query a few chunks contain, and how rare these words are in a scope."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from agentmem_storage.records import WordMatches
from agentmem_storage.sql.lexical.terms import index_of
from agentmem_storage.words import STOP_WORDS, Phrases, asks_nothing, phrases
from agentmem_storage.words.foreign import function_words


def meaningful(query: str) -> list[str]:
    """The phrases of a query that count: none of stop words alone, or if they ask nothing.

    The stop words are those of English and of the language of the query.
    """
    if asks_nothing(query):
        return []
    silent = STOP_WORDS | function_words(query)
    return [one for one in phrases(query) if not silent.issuperset(one.split())]


def word_matches(
    connection: Connection,
    counts: Mapping[str, int],
    ids: Sequence[int],
    chunks: int,
    parsed: Phrases,
) -> WordMatches:
    """See `agentmem_storage.snapshot.Snapshot.word_matches`.

    Args:
        connection: A transaction.
        counts: By phrase, the number of chunks of the scope that contain it.
        ids: The chunks to look at.
        chunks: Number of chunks in the scope.
        parsed: The query.
    """
    weights = {phrase: _weight(chunks, having) for phrase, having in counts.items()}
    contained: dict[int, set[str]] = {id: set() for id in ids}
    if contained and weights:
        searched = [*weights, *parsed.variants]
        for id, phrase in index_of(connection).containing(connection, searched, list(contained)):
            contained[id].update(parsed.variants.get(phrase, (phrase,)))
    for held in contained.values():
        for noun, labels in parsed.labels.items():
            if held.isdisjoint(labels):
                held.discard(noun)
    # In the order of the query, since a sum depends on it in the last bit.
    found = {
        id: sum(weight for phrase, weight in weights.items() if phrase in held)
        for id, held in contained.items()
    }
    return WordMatches(sum(weights.values()), _weight(chunks, 0), chunks, found)


def _weight(chunks: int, having: int) -> float:
    return math.log1p((chunks - having + 0.5) / (having + 0.5))
