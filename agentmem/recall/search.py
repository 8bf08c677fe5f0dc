"""One query: candidates by words and by meaning, fused, ranked, and read in one go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from agentmem.errors import InputError, UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem.recall.exact import Loader
from agentmem.recall.fusion import Scored, Weights, fuse, normalise_keys, normalise_lexical
from agentmem.recall.hits import Hit, Mode, Recall
from agentmem_storage.records import Ranked, Selection
from agentmem_storage.store import Store

_WEIGHTS = {
    "hybrid": Weights(),
    "keys": Weights(lexical=0.0, key=1.0, neighbour=0.0),
    "lexical": Weights(lexical=1.0, key=0.0, neighbour=0.0),
}
# How often to begin anew when somebody has just forgotten what this search had found. Each time
# costs the others a whole `forget`, so that only a store that contradicts itself gets to the end.
_TRIES = 100
# Candidates of each search: enough that the neighbours of a good hit are known too.
_LEAST_CANDIDATES = 100


def search(
    store: Store, model: MemoryModel, query: str, *, k: int, selection: Selection, mode: Mode
) -> Recall:
    """Find the ``k`` chunks of a selection that fit a query best.

    Raises:
        InputError: the query is blank or not Unicode, ``k`` is not positive, or the mode unknown.
        FilterError: the selection's filter has a wrong shape.
    """
    _check(query, k, mode)
    for _ in range(_TRIES):
        with suppress(UnknownIdError):
            return _search(store, model, query, k=k, selection=selection, mode=mode)
    return _search(store, model, query, k=k, selection=selection, mode=mode)


def _search(
    store: Store, model: MemoryModel, query: str, *, k: int, selection: Selection, mode: Mode
) -> Recall:
    weights, allowed = _WEIGHTS[mode], len(store.ids(selection))
    wide = max(_LEAST_CANDIDATES, 4 * min(k, allowed))
    lexical: dict[int, float] = {}
    keys: dict[int, float] = {}
    if weights.lexical:
        lexical = normalise_lexical(store.search_terms(query, wide, selection))
    if weights.key:
        key = model.query_key(model.tokenizer.encode(query))
        near = store.search_keys(key, wide, selection)
        # What the words found has a cosine too, though it may not be among the nearest.
        others = tuple(sorted(set(lexical) - set(near.ids.tolist())))
        rest = store.search_keys(key, len(others), Selection(ids=others)) if others else None
        keys = _joined(near, rest)
    candidates = {*lexical, *keys}
    beside = _neighbours(store, candidates, selection) if weights.neighbour else {}
    best = fuse(lexical, keys, beside, weights)[:k]
    return Recall(
        query=query,
        hits=_read(store, model, best),
        candidates=allowed,
        count_tokens=lambda text: len(model.tokenizer.encode(text)),
    )


def _read(store: Store, model: MemoryModel, best: list[Scored]) -> tuple[Hit, ...]:
    records = store.chunks([item.id for item in best], keep_damaged=True)
    sources = {s.id: s for s in store.sources({r.source_id for r in records}, keep_damaged=True)}
    loader = Loader(model, records)
    return tuple(
        Hit(record, sources[record.source_id], loader, item.score, item.explain)
        for record, item in zip(records, best, strict=True)
    )


def _joined(near: Ranked, rest: Ranked | None) -> dict[int, float]:
    """Normalised over the nearest; what lies below the last of them counts as zero."""
    keys = normalise_keys(near)
    if rest is None or not len(near.ids):
        return keys
    low, high = float(near.scores.min()), float(near.scores.max())
    for id, score in zip(rest.ids.tolist(), rest.scores.tolist(), strict=True):
        keys[id] = max(0.0, (score - low) / (high - low)) if high - low > 1e-6 else 0.0
    return keys


def _neighbours(
    store: Store, candidates: set[int], selection: Selection
) -> dict[int, tuple[int | None, int | None]]:
    """The chunks before and after each candidate, as far as the selection lets them through."""
    beside = store.neighbours(sorted(candidates))
    if selection == Selection(scope=selection.scope):
        return beside  # neighbours share their candidate's scope
    around = {n for pair in beside.values() for n in pair if n is not None}
    allowed = set(store.ids(replace(selection, ids=tuple(sorted(around)))).tolist())
    return {
        id: (before if before in allowed else None, after if after in allowed else None)
        for id, (before, after) in beside.items()
    }


def _check(query: str, k: int, mode: Mode) -> None:
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
    if mode not in _WEIGHTS:
        raise InputError(f"unknown mode {mode!r}: one of {', '.join(map(repr, _WEIGHTS))}")
