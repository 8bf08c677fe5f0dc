"""Search: candidates by words and by vectors, fused, reranked and expanded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import numpy as np

from agentmem.models.base import MemoryModel
from agentmem.retrieval.calibration import knows_cosines
from agentmem.retrieval.expand import Neighborhood, Surroundings, expand, present
from agentmem.retrieval.fusion import (
    LEAST_TIMELY,
    SPANNED,
    Scored,
    Weights,
    fuse,
    normalize_cosines,
    normalize_lexical,
)
from agentmem.retrieval.held import names_beside
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.recency import ReadWordings, by_recency
from agentmem.retrieval.relevance import COMPARED, Comparison, Relevance
from agentmem.retrieval.repeats import Group, distinct, group_repeats, possible_repeats
from agentmem.retrieval.rerank import rerank
from agentmem.retrieval.speakers import aside_from, named
from agentmem.retrieval.succession import in_succession
from agentmem.retrieval.supersession import knows_slots
from agentmem.retrieval.timely import timely_first
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.records import Ranked, Selection, Turn
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.words import asks_nothing

_WEIGHTS = {
    "hybrid": Weights(),
    "vector": Weights(lexical=0.0, vector=1.0, neighbor=0.0, length=0.0, speaker=0.0, time=0.0),
    "lexical": Weights(lexical=1.0, vector=0.0, neighbor=0.0, length=0.0, speaker=0.0, time=0.0),
}
# Candidates per search: enough that the neighbors of a good hit are usually candidates too.
_MIN_CANDIDATES = SPANNED
# What is asked about all that was said and done.
_ANYTHING = unicode_pattern(
    r"\b(?:happen(?:ed)?|sa(?:y|id)|t(?:ell|old)|talk(?:ed)?|discuss(?:ed)?|mention(?:ed)?"
    r"|note(?:d|s)?|wr(?:ite|ote)|remember|recall|recap|summar(?:y|i[sz]e)|everything|anything"
    r"|going on|went on|conversations?|messages?|chat(?:s|ted)?)\b"
)
# What is asked about one thing of a time: "where was I yesterday?".
_PARTICULAR = unicode_pattern(
    r"(?i)\b(?:who|whom|whose|where|when|why|which|how (?:many|much|long|old|far|often))\b",
)
_NOTHING = Ranked(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))

_Search = Callable[[int], Ranked]


class Found(NamedTuple):
    """A ranked chunk, before its row is loaded.

    Attributes:
        item: Its id and score.
        expanded_from: The id of the chunk that added it; None if the search found it.
        repeats: Ids and times of the candidates that repeat it.
    """

    item: Scored
    expanded_from: int | None = None
    repeats: tuple[tuple[int, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Ranked ids, before any row is loaded.

    Attributes:
        ranked: The best ``k``, each followed by the chunks it adds.
        candidates: How many chunks matched the scope, filters and times.
        relevance: Of each of the ranked, 0 to 1, by id; see `agentmem.retrieval.relevance`.
        recall_relevance: How likely any of the candidates answers the query, 0 to 1.
    """

    ranked: list[Found]
    candidates: int
    relevance: dict[int, float]
    recall_relevance: float


def search(
    snapshot: Snapshot,
    model: MemoryModel,
    query: RecallQuery,
    question: Question,
    read: ReadWordings,
) -> SearchResult:
    """Rank the chunks of a selection by how well they match a query, and expand the best ``k``.

    Args:
        snapshot: The state of the store.
        model: Reranks the candidates.
        query: A validated query.
        question: What it asks.
        read: Reads the wordings of the few memories that may contradict each other.

    Raises:
        FilterError: the filter is malformed.
    """
    weights, allowed = _WEIGHTS[query.mode], snapshot.count(query.selection)
    limit = max(_MIN_CANDIDATES, 4 * min(query.k, allowed))
    selections = [query.selection]
    if question.interval is not None:
        # Memories of that time may rank far below the best by words and vectors: search them
        # separately too.
        during = question.interval.since, question.interval.until
        selections.append(replace(query.selection, days=during))
    surroundings = Surroundings(snapshot, query.selection)
    matches = _find(snapshot, question, limit, selections, weights, surroundings)
    lexical = normalize_lexical(matches.lexical)
    candidates = {*lexical, *matches.vector.ids.tolist()}
    neighborhood = Neighborhood({}, {})
    if weights.neighbor:
        neighborhood = surroundings.near(candidates)
    names = named(question.text, neighborhood)
    if names.words and question.embedding is not None:
        aside = aside_from(question.embedding, names.words, model)
        cosines = normalize_cosines(snapshot.cosines(aside, candidates))
    else:
        cosines = _normalized(snapshot, question, matches.vector, selections, known=set(lexical))
    sides = neighborhood.sides
    in_interval = None
    if question.interval is not None:
        ids = candidates.union(*(present(side) for pair in sides.values() for side in pair))
        in_interval = snapshot.matching(ids, selections[-1])
    scored = fuse(
        lexical,
        cosines,
        sides,
        weights,
        turns=neighborhood.turns,
        coverage=matches.lexical.coverage,
        named=names.turns,
        in_interval=in_interval,
        least_timely=_least_timely(question),
    )
    fits = len(question.token_ids) <= model.codec.max_tokens
    if model.reranker is not None and _reranks(
        query, model.reranks and fits and len(question.text.split()) > 1
    ):
        time_share = 0.0 if in_interval is None else weights.time / (weights.top + weights.time)
        scored = rerank(
            snapshot,
            surroundings,
            model.reranker,
            model.tokenizer,
            question.token_ids,
            scored,
            weights.rerank / weights.top,
            time_share,
        )
    found = [item.id for item in scored]
    if in_interval is not None:
        scored = timely_first(snapshot, scored, in_interval, query, question, read)
    compared = group_repeats(snapshot, scored, max(query.k, COMPARED), neighborhood.turns)
    ordered = by_recency(
        snapshot, compared, query, question, read, slots=knows_slots(model.fingerprint)
    )
    settled = ordered != compared and names_beside(question.text)
    compared = in_succession(snapshot, ordered, scored, query, question, settled=settled)
    best = compared[: query.k]
    exact = dict(zip(matches.vector.ids.tolist(), matches.vector.scores.tolist(), strict=True))
    comparison = Comparison(
        snapshot,
        question,
        query.selection.scope,
        counts_cosines=knows_cosines(model.fingerprint),
        cosines=exact,
    )
    timely = in_interval if in_interval is not None and _asks_what_was(question) else ()
    relevance = Relevance(comparison, [group.item.id for group in compared], timely=timely)
    of_best = _passed_on(relevance.of_hits([group.item.id for group in best]), found, best)
    if query.min_relevance is not None:
        best = [one for one in best if of_best[one.item.id] >= query.min_relevance]
    ranked = list(_expanded(snapshot, surroundings, best, scored, query))
    of_hits = relevance.of_hits([one.item.id for one in ranked])
    return SearchResult(ranked, allowed, {**of_hits, **of_best}, relevance.of_recall)


def _least_timely(question: Question) -> float:
    """All of it for "what happened in May?", and not for "where did I live in May?"."""
    return 1.0 if question.interval is None or _asks_nothing_else(question) else LEAST_TIMELY


def _asks_nothing_else(question: Question) -> bool:
    """Whether a question asks for all that there is of the time that it names."""
    rest = "" if question.interval is None else question.interval.rest
    return asks_nothing(_ANYTHING.sub("", rest))


def _asks_what_was(question: Question) -> bool:
    """Whether whatever is of the named time answers a question: "what did I do yesterday?"."""
    return _asks_nothing_else(question) and _PARTICULAR.search(question.text) is None


def _passed_on(
    relevance: Mapping[int, float], found: Sequence[int], hits: Sequence[Group]
) -> dict[int, float]:
    """The relevance of hits, of which those that were moved up have at least that of the next.

    "I moved to Rome" has little in common with "where do I live?". It is relevant because it
    supersedes what has. What only seems to do so keeps its own.

    Args:
        relevance: Of each hit, in their order.
        found: Ids of the hits as the search found them.
        hits: The hits, in their order.
    """
    linked = {group.item.id for group in hits if group.linked}
    ranks = {id: rank for rank, id in enumerate(found)}
    passed: dict[int, float] = {}
    behind: int | None = None
    for id in reversed(list(relevance)):
        least = 0.0
        if behind is not None and id in linked:
            if ranks.get(id, len(found)) > ranks.get(behind, len(found)):
                least = passed[behind]
        passed[id] = max(relevance[id], least)
        behind = id
    return {id: passed[id] for id in relevance}


def _reranks(query: RecallQuery, suitable: bool) -> bool:
    """By default, if the model does, unless a single kind of search was requested.

    A reranker reads only the beginning of a long query, which may be anything. It was trained on
    questions: of a single word it knows less than the search, which finds the memories with it.
    """
    if query.rerank == "auto":
        return query.mode == "hybrid" and suitable
    return query.rerank is not None


class _Matches(NamedTuple):
    """The best of each search, over all selections."""

    lexical: Ranked
    vector: Ranked


def _find(
    snapshot: Snapshot,
    question: Question,
    limit: int,
    selections: Sequence[Selection],
    weights: Weights,
    surroundings: Surroundings,
) -> _Matches:
    """Search by words and by vectors, and fetch more where too many are repeats."""
    by_words: list[_Search] = []
    by_vector: list[_Search] = []
    if weights.lexical:
        by_words = list(_by_words(snapshot, question, selections))
    if weights.vector and (embedding := question.embedding) is not None:
        by_vector = [partial(snapshot.search_vectors, embedding, selection=s) for s in selections]
    first = [(find, find(limit)) for find in (*by_words, *by_vector)]
    ids = {id for _, found in first for id in found.ids.tolist()}
    turns: Mapping[int, Turn] = {}
    if weights.neighbor:
        neighborhood = surroundings.near(ids)
        sides, turns = neighborhood.sides, neighborhood.turns
        ids = ids.union(*(present(side) for pair in sides.values() for side in pair))
    # Who said what is read once, of all that may come into question.
    snapshot.said(possible_repeats(ids, turns))
    found = [distinct(snapshot, find, limit, best, turns) for find, best in first]
    return _Matches(_union(found[: len(by_words)]), _union(found[len(by_words) :]))


def _by_words(
    snapshot: Snapshot, question: Question, selections: Sequence[Selection]
) -> Iterator[_Search]:
    """The searches by words.

    "Yesterday" in a memory is not the yesterday of the question, unless it was said after that
    time. It counts where there is nothing of that time, too.
    """
    words = question.words
    if question.seen_from_now and not snapshot.count(selections[-1]):
        words = question.text
    if words:
        for selection in selections:
            yield partial(snapshot.search_terms, words, selection=selection)
    seen_otherwise = question.seen_from_now and words != question.text
    if seen_otherwise and question.interval and question.interval.until:
        since = replace(selections[0], days=(question.interval.until, None))
        yield partial(snapshot.search_terms, question.text, selection=since)


def _normalized(
    snapshot: Snapshot,
    question: Question,
    nearest: Ranked,
    selections: Sequence[Selection],
    *,
    known: set[int],
) -> dict[int, float]:
    """The nearest chunks of each selection, normalized together.

    With one selection, every chunk that is not among its nearest is below the lowest. With two, a
    lexical match may lie between their lowest scores, so its cosine is computed.
    """
    others = known.difference(nearest.ids.tolist())
    if len(selections) == 1 or not others or question.embedding is None:
        return normalize_cosines(nearest)
    return normalize_cosines(nearest, snapshot.cosines(question.embedding, others))


def _union(results: Sequence[Ranked]) -> Ranked:
    """Results of one query joined; a chunk found by two searches has the same score in both."""
    best = max(results, key=lambda one: one.scores.max(initial=0.0), default=_NOTHING)
    return Ranked(
        ids=np.concatenate([_NOTHING.ids, *(one.ids for one in results)]),
        scores=np.concatenate([_NOTHING.scores, *(one.scores for one in results)]),
        coverage=best.coverage,
    )


def _expanded(
    snapshot: Snapshot,
    surroundings: Surroundings,
    best: Sequence[Group],
    scored: Sequence[Scored],
    query: RecallQuery,
) -> Iterator[Found]:
    """The best, each followed by the chunks it adds."""
    added: dict[int, list[int]] = {}
    if query.expand is not None:
        ids = [group.item.id for group in best]
        added = expand(snapshot, surroundings, ids, query.expand, query.selection)
    known = {item.id: item for item in scored} if added else {}
    for item, repeats, _ in best:
        yield Found(item, repeats=repeats)
        for id in added.get(item.id, ()):
            yield Found(known.get(id) or Scored(id), expanded_from=item.id)
