"""Among memories that answer a question about as well, those of the time that it names come first.

In a diary, the entries of all days resemble each other. What little they differ by is scaled to the
whole range of a score (see `agentmem.retrieval.fusion`), and may outweigh the time: "what did I
have for dinner on 17 November?" was answered by the dinner of another day. So if the best hit is
not of that time, those that are, and that have nearly as much in common with the question, are
placed before it. What is said on another day about that time stays where it is, or comes first too;
what names another time ("on 3 November") only has the words of the question's own in common.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta

from agentmem.retrieval.dates import Interval, named_interval
from agentmem.retrieval.fusion import Scored
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.recency import ReadWordings
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.timestamps import DAY_MICROS, from_micros

# The best of that time, and of other times, that are compared.
_COMPARED = 8
# What two memories that answer alike may differ by: in cosine, if both have words of the question
# and if neither has, and the least share of the one's words that the other has. In a diary of 75
# dinners, other notes of a day are .25 behind the best dinner, and a dinner in other words .2.
_WITH_WORDS, _WITHOUT_WORDS, _LEAST_SHARE = 0.3, 0.2, 0.75
# A memory is about a time if it names one of at most this length.
_LONGEST = timedelta(days=31)


def timely_first(
    snapshot: Snapshot,
    scored: Sequence[Scored],
    in_interval: Container[int],
    query: RecallQuery,
    question: Question,
    read: ReadWordings,
) -> list[Scored]:
    """The candidates, with those of the named time before others that answer no better.

    What is moved up gets the score of the candidate that it precedes.

    Args:
        snapshot: The state of the store.
        scored: The candidates, best first.
        in_interval: Which of them are of the time that the question names.
        query: The query.
        question: What it asks.
        read: Reads the wordings of the few that are compared.
    """
    interval = question.interval
    timely = [one for one in scored if one.id in in_interval][:_COMPARED]
    if interval is None or not scored or scored[0].id in in_interval:
        return list(scored)
    if not timely and question.seen_from_now:
        return list(scored)  # its words were searched, as nothing is from then
    end = scored.index(timely[0]) if timely else len(scored)
    ahead = list(scored[: min(_COMPARED, end)])
    about, elsewhere = _named(snapshot, [one.id for one in ahead], interval, query.now, read)
    best = next((one for one in ahead if one.id not in about), None)
    known = {*about, *elsewhere}
    plain = next((one for one in scored if one.id not in known and one.id not in in_interval), best)
    if best is None or plain is None:
        return list(scored)
    passed = [one for one in ahead[ahead.index(best) :] if one.id in about]
    if not passed and not timely:
        return list(scored)
    likeness = _Likeness(snapshot, question, interval, query, [*ahead, *timely, plain])

    def comes_first(id: int) -> bool:
        more = all(likeness.has_words(id, one) for one in elsewhere)
        return more and likeness.near(id, plain.id)

    front = [*ahead[: ahead.index(best)]]
    front += [one for one in (*passed, *timely) if comes_first(one.id)]
    moved = {one.id for one in front}
    raised = [one._replace(score=max(one.score, best.score)) for one in front]
    return [*raised, *(one for one in scored if one.id not in moved)]


class _Likeness:
    """How much candidates have in common with what is asked for beside the time."""

    def __init__(
        self,
        snapshot: Snapshot,
        question: Question,
        interval: Interval,
        query: RecallQuery,
        compared: Sequence[Scored],
    ) -> None:
        ids = [one.id for one in compared]
        self._words = snapshot.word_matches(interval.rest, ids, query.selection.scope).found
        self._cosines: Mapping[int, float] = {}
        if question.embedding is not None:
            ranked = snapshot.cosines(question.embedding, ids)
            self._cosines = dict(zip(ranked.ids.tolist(), ranked.scores.tolist(), strict=True))

    def near(self, one: int, best: int) -> bool:
        """Whether a candidate has nearly as much in common with it as the best has."""
        if not self.has_words(one, best):
            return False
        most = _WITH_WORDS if self._words[best] else _WITHOUT_WORDS
        return self._cosines.get(best, 0.0) - self._cosines.get(one, 0.0) <= most

    def has_words(self, one: int, best: int) -> bool:
        """Whether it has nearly as much of its words."""
        return self._words[one] >= _LEAST_SHARE * self._words[best]


def _named(
    snapshot: Snapshot, ids: Sequence[int], interval: Interval, now: datetime, read: ReadWordings
) -> tuple[set[int], set[int]]:
    """Which of some memories name a time that the question names too, and which name another."""
    said = snapshot.said(ids)
    about: set[int] = set()
    elsewhere: set[int] = set()
    for id, wording in read(ids).items():
        at = from_micros(said[id].created_at).astimezone(now.tzinfo)
        named = named_interval(wording.text, at)
        dated = said[id].created_at % DAY_MICROS == 0
        if named is not None and not named.of_days and dated:
            continue  # "an hour ago" on a day of which no more is known
        if named is not None and named.since is not None and named.until is not None:
            if not _meet(named.since, named.until, interval):
                elsewhere.add(id)
            elif named.until - named.since <= _LONGEST:
                about.add(id)
    return about, elsewhere


def _meet(since: datetime, until: datetime, asked: Interval) -> bool:
    """Whether a time has something in common with the one that is asked for."""
    before = asked.since is not None and until <= asked.since
    return not before and (asked.until is None or since < asked.until)
