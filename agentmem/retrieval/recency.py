"""Recency: of memories that answer a question and contradict each other, the newest comes first.

Most contradictions have a link, see `agentmem.retrieval.succession`; this is for those whose words
do not tell ("I'm with Tessel", "my new badge arrived: Halden Foods"). The question has to ask how
something is or was: "who do I work for?", "what time is the stand-up?". A few memories have to
stand out from all others as being about it, and be short statements of one speaker on different
days, of which the newer one says that something changed or shares its subject with an older one.
Where one has the question's words, so must the others: "shoe size is 31 now" is no newer birthday.
So in a conversation about one thing, where many memories are about the question, nothing moves.

The numbers were fitted on the first half of `benchmarks.kinds`' changing facts, such that its chats
lose nothing; those of the words were set by reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.repeats import Group
from agentmem.retrieval.tense import When, when_asked
from agentmem.statements.compare import same_owner
from agentmem.statements.read import Statement, read_statement
from agentmem_storage.records import Ranked, Said
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.timestamps import DAY_MICROS, to_micros

# The exact texts of chunks by id, without damaged ones.
ReadTexts = Callable[[Sequence[int]], Mapping[int, str]]

# What stands out has a cosine at least so far from the median of the pool to the best.
_NEAR = 0.35
_POOL = 64
# The most memories that a question about one fact can be about.
_MOST = 6
_MOST_WORDS = 9
# Where one has this lexical score, it has words of the question that tell; one with less than this
# share of it is about something else.
_TELLING, _SHARE = 0.5, 0.5
_OWN = regex.compile(r"\b(?:i|my|me|mine|we|our|us|ours)\b", regex.IGNORECASE)
# Words of questions about what happens or is said.
_EVENT = regex.compile(
    r"\b(?:when|while|after|if|that|because|during|to|from|think|say|said|tell|told|talk\w*|ask\w*"
    r"|happen\w*|why|how (?:does|is)|going|doing|feel\w*)\b",
    regex.IGNORECASE,
)
_WORD = regex.compile(r"[\p{L}\p{M}\d'’-]+")


@dataclass(frozen=True, slots=True)
class _About:
    """A memory that stands out as being about the question."""

    group: Group
    said: Said
    statement: Statement


def by_recency(
    snapshot: Snapshot,
    groups: Sequence[Group],
    nearest: Ranked,
    query: RecallQuery,
    question: Question,
    read: ReadTexts,
) -> list[Group]:
    """The hits, with those in the right order that contradict each other.

    Args:
        snapshot: The state of the store.
        groups: The best hits, best first.
        nearest: Cosines of the question and the nearest memories.
        query: The query.
        question: What it asks.
        read: Reads the texts of the few that stand out.
    """
    when = When.NOW if query.prefer == "latest" else when_asked(question.text)
    applies = query.mode == "hybrid" and query.prefer != "any" and when is not When.UNKNOWN
    if not applies or not _asks_how_it_is(question.text):
        return list(groups)
    near = _standing_out(groups, nearest)
    said = snapshot.said(group.item.id for group in near)
    ids = [group.item.id for group in near]
    few = 1 < len(near) <= _MOST
    if not few or not _may_contradict([said[id] for id in ids]) or snapshot.linked(ids).links:
        return list(groups)
    about = _statements(near, said, read(ids), question.text, when)
    ordered = _in_order(about, when, question)
    if ordered is None:
        return list(groups)
    return _descending(_placed(groups, ordered))


def _asks_how_it_is(question: str) -> bool:
    if _OWN.search(question):
        return True
    words = _WORD.findall(question)
    return len(words) <= _MOST_WORDS and not _EVENT.search(" ".join(words[1:]))


def _standing_out(groups: Sequence[Group], nearest: Ranked) -> list[Group]:
    """Those hits that are much nearer to the question than most memories, best first."""
    pool = np.sort(nearest.scores)[::-1][:_POOL]
    if len(pool) < 2:
        return []
    median, best = float(np.median(pool)), float(pool[0])
    least = median + _NEAR * (best - median)
    cosines = dict(zip(nearest.ids.tolist(), nearest.scores.tolist(), strict=True))
    return [group for group in groups if cosines.get(group.item.id, -1.0) >= least]


def _may_contradict(said: Sequence[Said]) -> bool:
    times = [one.created_at for one in said]
    return max(times) - min(times) >= DAY_MICROS


def _statements(
    near: Sequence[Group],
    said: Mapping[int, Said],
    texts: Mapping[int, str],
    question: str,
    when: When,
) -> list[_About]:
    """Those that state something, and have the names and numbers that the best of them shares.

    Of "where does Ana live?", what is said of somebody else answers nothing. And if one has the
    words of a question about now, what has few of them is about something else. What held before
    may have been said in other words than what holds now.
    """
    names = _names(question)
    most = max(group.item.lexical for group in near)
    least = most * _SHARE if when is When.NOW and most >= _TELLING else 0.0
    found: list[_About] = []
    wanted: set[str] | None = None
    for group in near:
        text = texts.get(group.item.id, "")
        shared = {name for name in names if name in text.lower()}
        wanted = shared if wanted is None else wanted
        statement = read_statement(text) if text else None
        if statement is not None and wanted <= shared and group.item.lexical >= least:
            found.append(_About(group, said[group.item.id], statement))
    return found


def _names(question: str) -> set[str]:
    words = _WORD.findall(question)
    return {
        regex.sub(r"['’]s$", "", word).lower()
        for place, word in enumerate(words)
        if any(letter.isdigit() for letter in word)
        or (place and word[0].isupper() and not _OWN.match(word))
    }


def _in_order(about: Sequence[_About], when: When, question: Question) -> list[Group] | None:
    """The right order of what stands out; None if nothing supersedes anything."""
    by_time = sorted(about, key=lambda one: (one.said.created_at, one.group.item.id))
    newer = [
        one
        for place, one in enumerate(by_time)
        if any(_supersedes(one, other) for other in by_time[:place])
    ]
    if not newer:
        return None
    newest_first = [one.group for one in reversed(newer)]
    others = [one.group for one in about if one not in newer]
    interval = question.interval
    if interval is not None and interval.until is not None:
        until = to_micros(interval.until, "until")
        held = [one.group for one in reversed(by_time) if one.said.created_at < until]
        return held + [one.group for one in about if one.said.created_at >= until]
    if when is When.NOW:
        return newest_first + others
    last = newer[-1].group
    return [*(one.group for one in about if one.group is not last), last]


def _supersedes(one: _About, other: _About) -> bool:
    """Whether one is a newer statement of the same speaker, and likely about the same."""
    apart = one.said.created_at - other.said.created_at >= DAY_MICROS
    same = _speaker(one.said) == _speaker(other.said)
    related = one.statement.changes or bool(one.statement.subject & other.statement.subject)
    return apart and same and related and same_owner(other.statement, one.statement)


def _speaker(said: Said) -> tuple[str | None, ...]:
    return said.kind, said.role, said.name, said.title, said.user_id, said.agent_id


def _placed(groups: Sequence[Group], ordered: Sequence[Group]) -> list[Group]:
    """The hits, with some of them in a given order in the place of the first of these."""
    ids = {group.item.id for group in ordered}
    first = next(place for place, group in enumerate(groups) if group.item.id in ids)
    rest = [group for group in groups if group.item.id not in ids]
    return [*rest[:first], *ordered, *rest[first:]]


def _descending(groups: Sequence[Group]) -> list[Group]:
    """The hits, none with a lower score than those behind it."""
    found: list[Group] = []
    least = 0.0
    for group in reversed(groups):
        least = max(least, group.item.score)
        found.append(group._replace(item=group.item._replace(score=least)))
    return found[::-1]
