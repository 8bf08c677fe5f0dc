"""Stores of several kinds and sizes, and questions about them, with and without evidence.

A unit is what one source of the corpus holds together: a scene, a passage, a list of facts. A
store is filled with whole units up to its size, and is asked:

- its own questions, whose evidence it holds;
- questions of the same kind about units that it does not hold (``absent``): often the same article,
  the same persons or the same form of question;
- questions of another kind (``foreign``);
- questions that are marked as unanswerable although their unit is in the store (``unanswerable``);
- function words alone (``empty``).

Every question is also asked as keywords: its words without question words and other stop words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from agentmem.corpus import read_records
from agentmem.training.reader.personal import exercises

SIZES = (5, 20, 100, 1_000)
KINDS = ("facts", "dialogues", "passages", "answers", "lookups")
# The only dialogues with questions that no weights were trained on, in train files too.
_DIALOGUES = "friendsqa"
_PASSAGES = ("squad-dev", "nq-open", "fairytaleqa", "covidqa")
_ANSWERS = ("medquad-qa", "counsel-qa", "covid-faq")
_LOOKUPS = ("synthetic-lookup", "factbook-lookup")
_SMALL_TALK = ("self-dialogue", "topical-chat", "synthetic-persona-chat")
_EXERCISES = 400
# Share of units that no store of a document's others holds.
_LEFT_OUT = 0.3
# Filling stores takes most of the time.
_MOST_MESSAGES = 800
# A longer text is no question that anyone would ask a memory.
_LONGEST_QUESTION = 300
_FUNCTION_WORDS = frozenset(
    "a about all am an and any are as at be been but by can could did do does for from had has "
    "have he her him his how i if in into is it its me my no not of on one or our out she should "
    "so some that the their them then there these they this those to up us was we were what when "
    "where which who whom whose why will with would you your".split()
)
EMPTY = ("the", "and", "it", "is it", "what", "of the", "they were", "who is that", "do you", "?!")

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a unit.

    Attributes:
        text: Its words.
        evidence: Indices of the unit's messages that answer it; none if it is unanswerable.
    """

    text: str
    evidence: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages that belong together, and questions about them.

    Attributes:
        kind: One of `KINDS`.
        document: What it is part of, such as an article; parts of one document are never both
            fitted and measured on.
        messages: As `Memory.add` takes them.
        questions: About these messages.
    """

    kind: str
    document: str
    messages: tuple[Message, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a store.

    Attributes:
        text: The query.
        how: ``own``, ``absent``, ``foreign``, ``unanswerable`` or ``empty``.
        keywords: Whether only the question's keywords are asked.
        document: Of the unit that the question is about.
        evidence: Indices of the store's messages that answer it.
    """

    text: str
    how: str
    keywords: bool
    document: str
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """What one store holds and is asked.

    Attributes:
        kind: One of `KINDS`.
        size: How many messages it was filled to.
        messages: All of them.
        asks: Every query.
    """

    kind: str
    size: int
    messages: list[Message] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)


def groups(
    data: Sequence[Path], small_talk: Path, *, seed: int, questions: int, sizes: Sequence[int]
) -> Iterator[Group]:
    """Stores of every kind and size.

    Args:
        data: Question files of the corpus.
        small_talk: A file of conversations, which fill up the stores of facts.
        seed: Of all random choices.
        questions: How many own questions to ask of each kind and size.
        sizes: Messages in a store.
    """
    units = read_units(data)
    talk = _small_talk(small_talk)
    for kind in KINDS:
        for size in sizes:
            rng = Random(f"{seed} {kind} {size}")
            yield from _groups_of(kind, size, units, talk, questions, rng)


def read_units(data: Sequence[Path]) -> dict[str, list[Unit]]:
    """The units of each kind; those of ``facts`` are generated."""
    records: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for file in data:
        trained_on = not file.name.startswith("qa-dev")
        for record in read_records(file):
            if record["source"] == _DIALOGUES or not trained_on:
                records[record["source"], record["context"]].append(record)
    found: dict[str, list[Unit]] = {kind: [] for kind in KINDS}
    for number, exercise in enumerate(islice(exercises(1), _EXERCISES)):
        messages = tuple(
            {"role": m.speaker, "content": m.text, "created_at": m.date}
            if m.speaker in ("user", "assistant")
            else {"role": "user", "name": m.speaker, "content": m.text, "created_at": m.date}
            for m in exercise.memories
        )
        asked = tuple(Question(text, evidence) for text, _, evidence in exercise.questions)
        found["facts"].append(Unit("facts", f"facts {number}", messages, asked))
    for (source, context), rows in records.items():
        if source == _DIALOGUES:
            found["dialogues"].append(_lines("dialogues", context, rows))
        elif source == "synthetic-lookup":
            found["lookups"].append(_lines("lookups", context, rows))
        elif source in _LOOKUPS:
            found["lookups"].append(_passage("lookups", context, rows))
        elif source in _PASSAGES:
            found["passages"].append(_passage("passages", context, rows))
        elif source in _ANSWERS:
            found["answers"].append(_passage("answers", context, rows))
    return {kind: [unit for unit in of if unit.questions] for kind, of in found.items()}


def _passage(kind: str, context: str, rows: Sequence[dict[str, Any]]) -> Unit:
    questions = tuple(
        Question(row["question"], () if row["kind"] == "unanswerable" else (0,))
        for row in rows
        if len(row["question"]) <= _LONGEST_QUESTION
    )
    return Unit(kind, rows[0]["doc"], ({"role": "user", "content": context},), questions)


def _lines(kind: str, context: str, rows: Sequence[dict[str, Any]]) -> Unit:
    """One message for each line; a question is kept if few lines hold its answer."""
    messages: list[Message] = []
    for line in filter(str.strip, context.split("\n")):
        name, _, said = line.partition(": ")
        if kind == "dialogues" and said.strip():
            messages.append({"role": "user", "name": name[:60], "content": said})
        else:
            messages.append({"role": "user", "content": line})
    questions = []
    for row in rows:
        evidence = tuple(
            at
            for at, message in enumerate(messages)
            if any(answer and answer in message["content"] for answer in row["answers"])
        )
        if 0 < len(evidence) <= 3:
            questions.append(Question(row["question"], evidence))
    return Unit(kind, rows[0]["doc"], tuple(messages), tuple(questions))


def keywords(question: str) -> str:
    """A question without function words; "" if nothing else is in it."""
    words = re.findall(r"[^\s?!.,;:\"()]+", question)
    return " ".join(word for word in words if word.lower() not in _FUNCTION_WORDS)


def _small_talk(file: Path) -> list[Message]:
    return [
        {"role": "user", "content": message["content"]}
        for record in read_records(file)
        if record["source"] in _SMALL_TALK
        for message in record["messages"]
    ]


def _groups_of(
    kind: str,
    size: int,
    units: dict[str, list[Unit]],
    talk: Sequence[Message],
    questions: int,
    rng: Random,
) -> Iterator[Group]:
    """Stores of one kind and size, until enough of their own questions are asked."""
    # Documents stay together: what a store does not hold then often resembles what it holds.
    documents: dict[str, list[Unit]] = defaultdict(list)
    for unit in units[kind]:
        documents[unit.document].append(unit)
    order = list(documents.values())
    rng.shuffle(order)
    for parts in order:
        rng.shuffle(parts)
    waiting = [unit for parts in order for unit in parts]
    others = [unit for of, found in units.items() if of != kind for unit in found]
    per_store, most_facts = max(4, questions * size // 2_000), 1 + 2 * (size > 100)
    asked = stores = 0
    while waiting and asked < questions and stores < max(2, _MOST_MESSAGES // size):
        stores += 1
        group = Group(kind, size)
        held: list[tuple[int, Unit]] = []
        while waiting and len(group.messages) < size:
            unit = _cut(waiting.pop(0), size - len(group.messages), rng)
            held.append((len(group.messages), unit))
            group.messages.extend(unit.messages)
            if kind == "facts" and len(held) == most_facts:
                break
            if waiting and rng.random() < _LEFT_OUT:
                waiting.append(waiting.pop(0))
        if kind == "facts":
            at = rng.randrange(len(talk))
            filler = list(islice(cycle(talk[at:]), max(0, size - len(group.messages))))
            group.messages.extend(filler)
        if len(group.messages) < size // 2:
            break
        _ask(group, held, units[kind], others, per_store, rng)
        asked += sum(ask.how == "own" for ask in group.asks) // 2
        yield group


def _cut(unit: Unit, room: int, rng: Random) -> Unit:
    """A unit that fits: a stretch of its messages around the evidence of one question."""
    if len(unit.messages) <= room:
        return unit
    answerable = [question for question in unit.questions if question.evidence]
    first = 0
    if answerable:
        evidence = rng.choice(answerable).evidence
        low = max(0, max(evidence) - room + 1)
        first = rng.randint(min(low, min(evidence)), min(evidence))
        first = min(first, len(unit.messages) - room)
    kept = range(first, first + room)
    questions = tuple(
        Question(q.text, tuple(at - first for at in q.evidence))
        for q in unit.questions
        if q.evidence and all(at in kept for at in q.evidence)
    )
    return replace(unit, messages=unit.messages[first : first + room], questions=questions)


def _ask(
    group: Group,
    held: Sequence[tuple[int, Unit]],
    same: Sequence[Unit],
    others: Sequence[Unit],
    count: int,
    rng: Random,
) -> None:
    inside = {unit.document for _, unit in held}
    texts = {message["content"] for message in group.messages}
    own = [(first, unit, q) for first, unit in held for q in unit.questions if q.evidence]
    tricky = [(first, unit, q) for first, unit in held for q in unit.questions if not q.evidence]
    absent = [
        (unit, q)
        for unit in same
        for q in unit.questions
        if q.evidence and not any(unit.messages[at]["content"] in texts for at in q.evidence)
    ]
    # Half of them from the documents of the store, as far as there are any.
    near = [pair for pair in absent if pair[0].document in inside]
    foreign = [(unit, q) for unit in rng.sample(others, 40) for q in unit.questions if q.evidence]
    own = rng.sample(own, min(count, len(own)))
    asks = [
        Ask(q.text, "own", False, unit.document, tuple(first + at for at in q.evidence))
        for first, unit, q in own
    ]
    half = (len(own) + 1) // 2
    outside = rng.sample(near, min(len(near), half // 2))
    outside += rng.sample(absent, half - len(outside))
    asks += [Ask(q.text, "absent", False, unit.document) for unit, q in outside]
    asks += [Ask(q.text, "foreign", False, unit.document) for unit, q in rng.sample(foreign, half)]
    asks += [
        Ask(q.text, "unanswerable", False, unit.document)
        for _, unit, q in rng.sample(tricky, min(half, len(tricky)))
    ]
    for ask in asks:
        group.asks.append(ask)
        if words := keywords(ask.text):
            group.asks.append(replace(ask, text=words, keywords=True))
    document = held[0][1].document
    group.asks.append(Ask(rng.choice(EMPTY), "empty", False, document))
