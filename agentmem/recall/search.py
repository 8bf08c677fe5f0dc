"""One query: candidates by words and by meaning, fused, ranked, and read in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InputError, UnknownIdError
from agentmem.models.base import MemoryModel, no_reranker
from agentmem.recall.dates import Interval, named_interval
from agentmem.recall.exact import Loader
from agentmem.recall.expand import EXPANSIONS, Beside, Expand, expand, neighbours, visible
from agentmem.recall.fusion import (
    FALLING,
    Scored,
    Weights,
    fuse,
    normalise_keys,
    normalise_lexical,
)
from agentmem.recall.hits import Hit, Mode, Recall
from agentmem.recall.rerank import RERANKS, Rerank, rerank
from agentmem.recall.whole import Whole
from agentmem_storage.records import Ranked, Selection
from agentmem_storage.store import Store

Order = Literal["relevance", "time"]

ORDERS: tuple[Order, ...] = ("relevance", "time")
_WEIGHTS = {
    "hybrid": Weights(),
    "keys": Weights(lexical=0.0, key=1.0, neighbour=0.0, length=0.0, time=0.0),
    "lexical": Weights(lexical=1.0, key=0.0, neighbour=0.0, length=0.0, time=0.0),
}
# How often to begin anew when somebody has just forgotten what this search had found. Each time
# costs the others a whole `forget`, so that only a store that contradicts itself gets to the end.
_TRIES = 100
# Candidates of each search: enough that the neighbours of a good hit are known too.
_LEAST_CANDIDATES = 64


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


def search(store: Store, model: MemoryModel, asked: Asked) -> Recall:
    """Find the ``k`` chunks of a selection that fit a query best, and what they bring.

    Raises:
        InputError: the query is blank or not Unicode, ``k`` is not positive, or the mode, the
            expansion, the order or the reranking is unknown.
        ModelError: reranking is asked for, and the model bundle has no reranker.
        FilterError: the selection's filter has a wrong shape.
    """
    _check(asked)
    if asked.rerank == "latent" and not model.reranks:
        raise no_reranker(model.name)
    for _ in range(_TRIES):
        with suppress(UnknownIdError):
            return _search(store, model, asked)
    return _search(store, model, asked)


def _search(store: Store, model: MemoryModel, asked: Asked) -> Recall:
    weights, allowed = _WEIGHTS[asked.mode], store.count(asked.selection)
    wide = max(_LEAST_CANDIDATES, 4 * min(asked.k, allowed))
    interval = named_interval(asked.query, asked.now) if weights.time else None
    parts = [asked.selection]
    if interval is not None:
        # What was said then may be far from the best of all by words and by meaning.
        parts.append(_during(asked.selection, interval))
    lexical: dict[int, float] = {}
    keys: dict[int, float] = {}
    if weights.lexical:
        lexical = _by_words(store, asked.query, wide, parts)
    if weights.key:
        key = model.query_key(model.tokenizer.encode(asked.query))
        keys = _by_key(store, key, wide, parts, known=set(lexical))
    candidates = {*lexical, *keys}
    beside = Beside({}, {})
    if weights.neighbour:
        beside = neighbours(store, candidates, asked.selection, reach=len(FALLING))
    ids = candidates.union(*(visible(side) for pair in beside.sides.values() for side in pair))
    in_time = None
    if interval is not None:
        during = _during(Selection(ids=tuple(sorted(ids))), interval)
        in_time = set(store.ids(during).tolist())
    scored = fuse(lexical, keys, beside.sides, weights, lengths=beside.tokens, in_time=in_time)
    if _reranks(asked, model):
        query = model.tokenizer.encode(asked.query)
        time_share = 0.0 if in_time is None else weights.time / (weights.top + weights.time)
        share = weights.rerank / weights.top
        scored = rerank(store, model, query, scored, asked.selection, share, time_share)
    hits = _read(store, model, list(_with_brought(store, scored, asked)))
    if asked.order == "time":
        hits = tuple(sorted(hits, key=lambda hit: (hit.created_at, hit.id)))
    return Recall(
        query=asked.query,
        hits=hits,
        candidates=allowed,
        count_tokens=lambda text: len(model.tokenizer.encode(text)),
        whole=Whole(store, model, asked.selection),
    )


def _reranks(asked: Asked, model: MemoryModel) -> bool:
    """By default where the model can, and where nobody asked for one sign alone."""
    if asked.rerank == "auto":
        return model.reranks and asked.mode == "hybrid"
    return asked.rerank is not None


def _by_words(store: Store, query: str, wide: int, parts: Sequence[Selection]) -> dict[int, float]:
    """The best of each part by words, normalised together."""
    return normalise_lexical(_union([store.search_terms(query, wide, part) for part in parts]))


def _by_key(
    store: Store,
    key: NDArray[np.float32],
    wide: int,
    parts: Sequence[Selection],
    *,
    known: set[int],
) -> dict[int, float]:
    """The nearest of each part, normalised together; what lies below the last of them has zero.

    Among all of a selection that is everything which is not among the nearest. Beside the nearest
    of a time too, what the words found may lie between the two, and is looked at.
    """
    near = _union([store.search_keys(key, wide, part) for part in parts])
    keys = normalise_keys(near)
    others = tuple(sorted(known - keys.keys()))
    if len(parts) == 1 or not others or not keys:
        return keys
    rest = store.search_keys(key, len(others), Selection(ids=others))
    low, high = float(near.scores.min()), float(near.scores.max())
    for id, score in zip(rest.ids.tolist(), rest.scores.tolist(), strict=True):
        keys[id] = max(0.0, (score - low) / (high - low)) if high - low > 1e-6 else 0.0
    return keys


def _union(found: Sequence[Ranked]) -> Ranked:
    """Results of one query as one; what two of them have has the same score in both."""
    return Ranked(
        ids=np.concatenate([one.ids for one in found]),
        scores=np.concatenate([one.scores for one in found]),
    )


def _during(selection: Selection, interval: Interval) -> Selection:
    """The part of a selection that was said in an interval."""
    since = [one for one in (selection.since, interval.since) if one is not None]
    until = [one for one in (selection.until, interval.until) if one is not None]
    return replace(selection, since=max(since, default=None), until=min(until, default=None))


def _with_brought(
    store: Store, scored: list[Scored], asked: Asked
) -> Iterator[tuple[Scored, int | None]]:
    """The best ``k``, each followed by what it brings, with the id of what brought it."""
    best = scored[: asked.k]
    brought = {}
    if asked.expand is not None:
        brought = expand(store, [item.id for item in best], asked.expand, asked.selection)
    known = {item.id: item for item in scored}
    for item in best:
        yield item, None
        for id in brought.get(item.id, ()):
            yield known.get(id) or Scored(id), item.id


def _read(
    store: Store, model: MemoryModel, chosen: list[tuple[Scored, int | None]]
) -> tuple[Hit, ...]:
    records = store.chunks([item.id for item, _ in chosen], keep_damaged=True)
    sources = {s.id: s for s in store.sources({r.source_id for r in records}, keep_damaged=True)}
    loader = Loader(model, records)
    return tuple(
        Hit(record, sources[record.source_id], loader, item.score, item.explain, brought_by)
        for record, (item, brought_by) in zip(records, chosen, strict=True)
    )


def _check(asked: Asked) -> None:
    query, k = asked.query, asked.k
    if not isinstance(query, str):
        raise TypeError(f"a query is a string, not {type(query).__name__}")
    if not query.strip():
        raise InputError(f"the query {query!r} is blank: ask for something")
    try:
        query.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"the query has a lone surrogate at {error.start}: remove it") from None
    if isinstance(k, bool) or not isinstance(k, int):
        raise TypeError(f"k is a whole number, not {k!r}")
    if k < 1:
        raise InputError(f"k={k!r}: ask for at least one hit")
    _one_of("mode", asked.mode, tuple(_WEIGHTS))
    _one_of("expand", asked.expand, (None, *EXPANSIONS))
    _one_of("order", asked.order, ORDERS)
    _one_of("rerank", asked.rerank, (None, *RERANKS))


def _one_of(name: str, word: object, known: tuple[object, ...]) -> None:
    if word not in known:
        raise InputError(f"unknown {name} {word!r}: one of {', '.join(map(repr, known))}")
