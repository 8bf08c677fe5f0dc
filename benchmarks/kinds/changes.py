"""Facts that change: an old statement, a new one, and what people note in between.

Forty topics (``data/changes.toml``) give five cases each. Every case is a user of its own and takes
another statement and another question of its topic; all topics together have two hundred of each.
Asked is for the present value (``now``), the one before it (``before``), and the one at a time: the
year or month in which the old value was stated (``dated``), or a time after that and before the
change (``between``). In half of the cases somebody else has a value too.

The notes around are everyday ones (``data/days.txt``), lines of small talk, and appointments,
tickets, flights and purchases of the corpus's records; none shares a rare word with what is asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from agentmem.corpus import read_records
from benchmarks.kinds.collection import Collection, Item, Kind, Question, half_of

CASES = 5
DATA = Path(__file__).parent / "data"
_RECORD = re.compile(
    r"^(?:[-*] |\d+\. )?((?:Meeting with|Ticket|Flight|Buy|Serial|Call) .*|.* was born .*)$"
)
_SMALL_TALK = "self-dialogue"
# Characters of a line that is a note.
_SHORTEST, _LONGEST = 20, 160
# Notes before the old statement, between the two, and after the new one.
_BEFORE, _BETWEEN, _AFTER = (1, 4), (10, 30), (2, 6)
# How long before the old statement the notes begin.
_LEAD = timedelta(days=40)
_FIRST_YEAR, _YEARS = 2021, 3
# Common words that do not tell what a note is about.
_COMMON = frozenset(
    "what which where when does have with about that this from there their were been into your "
    "they will would name called before earlier after most first last time week today still "
    "just some like much many more only over year these days moment current new old".split()
)


@dataclass(frozen=True, slots=True)
class _Times:
    """When the values of a case were stated, and when it is asked."""

    old: datetime
    new: datetime
    asked: datetime


def changes(corpus: Path) -> Kind:
    """Two hundred cases of a fact that changes.

    Args:
        corpus: Folder of the corpus.
    """
    return _kind("changes", corpus)


def other_changes(corpus: Path) -> Kind:
    """Cases of sixty-eight other topics (``data/other_changes.toml``), to fit on.

    Args:
        corpus: Folder of the corpus.
    """
    return _kind("other_changes", corpus)


def siblings(corpus: Path) -> Kind:
    """Facts that resemble a later one of another person or thing (``data/siblings.txt``).

    The earlier one stays the answer.

    Args:
        corpus: Folder of the corpus.
    """
    notes = unrelated(corpus)
    lines = (DATA / "siblings.txt").read_text(encoding="utf-8").splitlines()
    return Kind("siblings", "single", tuple(_pair(line, notes) for line in lines))


def _pair(line: str, notes: Sequence[str]) -> Collection:
    old, new, question = line.split(" | ")
    rng, said = Random(line), {"old": old, "new": new}
    times = _times(rng)
    items, indices = _in_order(said, times, _notes(notes, said, {"now": question}, rng), rng)
    asked = Question(question, (indices["old"],), half_of(line), "now", (indices["new"],))
    return Collection(line, items, (asked,), times.asked)


def _kind(name: str, corpus: Path) -> Kind:
    topics = tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))["topic"]
    notes = unrelated(corpus)
    collections = tuple(_case(topic, number, notes) for topic in topics for number in range(CASES))
    return Kind(name, "single", collections)


def unrelated(corpus: Path) -> list[str]:
    """Notes that are about nothing in particular, each once; a third of each source."""
    days = (DATA / "days.txt").read_text(encoding="utf-8").splitlines()
    talk = [
        message["content"]
        for record in read_records(corpus / "dev-conversations.jsonl.zst")
        if record["source"] == _SMALL_TALK
        for message in record["messages"]
        if "?" not in message["content"]
    ]
    made = [
        match[1]
        for record in read_records(corpus / "dev-structured.jsonl.zst")
        if record["source"] == "synthetic-records"
        for line in record["text"].split("\n")
        if (match := _RECORD.match(line))
    ]
    rng = Random("unrelated")
    count = len(days)
    fitting = [
        [line for line in lines if _SHORTEST <= len(line) <= _LONGEST] for lines in (talk, made)
    ]
    drawn = [line for lines in fitting for line in rng.sample(lines, min(count, len(lines)))]
    return list(dict.fromkeys(days + drawn))


def _case(topic: dict[str, Any], number: int, notes: Sequence[str]) -> Collection:
    name = f"{topic['name']} {number}"
    rng = Random(name)
    old, new, other = rng.sample(topic["values"], 3)
    values = {"old": old, "new": new}
    said = {
        "old": topic["old"][number].format(v=old),
        "new": topic["new"][number].format(v=new, **values),
    }
    if number % 2:
        said["other"] = topic["other"][number // 2].format(v=other)
    asked = {
        "now": topic["now"][number],
        "before": topic["before"][number].format(**values),
        "dated": topic["dated"][number % len(topic["dated"])],
    }
    times = _times(rng)
    around = _notes(notes, said, asked, rng)
    items, indices = _in_order(said, times, around, rng)
    distractors = (indices["other"],) if "other" in indices else ()
    half = half_of(topic["name"])
    old_index, new_index = indices["old"], indices["new"]
    when, category = _when(times, rng)
    texts = {
        "now": asked["now"],
        "before": asked["before"],
        category: asked["dated"].format(when=when),
    }
    questions = tuple(
        Question(text, (new_index,), half, category, (old_index, *distractors))
        if category == "now"
        else Question(text, (old_index,), half, category, (new_index, *distractors))
        for category, text in texts.items()
    )
    return Collection(name, items, questions, times.asked)


def _times(rng: Random) -> _Times:
    old = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC) + timedelta(
        days=rng.randrange(365 * _YEARS), minutes=rng.randrange(7 * 60, 23 * 60)
    )
    new = old + timedelta(days=rng.randrange(200, 700), minutes=rng.randrange(600))
    return _Times(old, new, new + timedelta(days=rng.randrange(15, 120)))


def _when(times: _Times, rng: Random) -> tuple[str, str]:
    """A time at which the old value was true, in words, and the category of the question."""
    middle = times.old + (times.new - times.old) / 2
    if rng.random() < 0.4:
        return middle.strftime("%B %Y"), "between"
    if times.old.year < times.new.year and rng.random() < 0.6:
        return str(times.old.year), "dated"
    return times.old.strftime("%B %Y"), "dated"


def _notes(
    unrelated: Sequence[str], said: dict[str, str], asked: dict[str, str], rng: Random
) -> Iterator[str]:
    """Unrelated notes in random order, without those that share a word with what is asked."""
    taken = _words(" ".join((*said.values(), *asked.values())))
    order = rng.sample(unrelated, len(unrelated))
    return (note for note in order if not _words(note) & taken)


def _words(text: str) -> set[str]:
    """Beginnings of the longer words, so that "moving" and "moved" are one."""
    found = re.findall(r"\w{4,}", text.lower())
    return {word[:5] for word in found if word not in _COMMON}


def _in_order(
    said: dict[str, str], times: _Times, notes: Iterator[str], rng: Random
) -> tuple[tuple[Item, ...], dict[str, int]]:
    """The statements among notes, by time, and the index of each statement."""
    stated = [(times.old, "old", said["old"]), (times.new, "new", said["new"])]
    if "other" in said:
        stated.append((_within(times.old, times.new, rng), "other", said["other"]))
    for bounds, start, end in (
        (_BEFORE, times.old - _LEAD, times.old),
        (_BETWEEN, times.old, times.new),
        (_AFTER, times.new, times.asked),
    ):
        for _ in range(rng.randint(*bounds)):
            note = next(notes)
            stated.append((_within(start, end, rng), "", note))
    stated.sort()
    indices = {name: index for index, (_, name, _) in enumerate(stated) if name}
    return tuple(Item(text, at) for at, _, text in stated), indices


def _within(start: datetime, end: datetime, rng: Random) -> datetime:
    return start + (end - start) * rng.uniform(0.02, 0.98)
