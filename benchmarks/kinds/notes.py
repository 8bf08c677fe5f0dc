"""Single notes: facts about people, flights, tickets and countries, written down by themselves.

Most are made of structured records of the corpus, worded in several ways (``data/notes.toml``);
some are written by hand, with questions that share few words with them (``data/facts.tsv``). Each
question has one right note. Near misses are among the others: notes of the same form with other
values, and other notes about the same person, country or command.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from string import Formatter
from typing import Any

from agentmem.corpus import read_records
from agentmem.errors import InputError
from benchmarks.kinds.collection import Collection, Item, Kind, Question, half_of

COUNT = 500
_DATA = Path(__file__).parent / "data"
# The held-out file first; it has few countries.
_FILES = ("dev-structured.jsonl.zst", "train-structured-00.jsonl.zst")
_BULLET = re.compile(r"^(?:[-*]|\d+\.) ")
_EXAMPLE = re.compile(r"^- (?P<task>.+):\n\n`(?P<command>.+)`$", re.MULTILINE)
# So many people share the notes about people, and so many notes are about a country or a command.
_PEOPLE, _PER_COUNTRY, _PER_COMMAND, _COMMANDS = 45, 4, 2, 44
_LONGEST_VALUE = 160


@dataclass(frozen=True, slots=True)
class Note:
    """A note and a question that it alone answers.

    Attributes:
        text: The note.
        question: The question.
        about: What it is about; notes about one thing are in one half.
    """

    text: str
    question: str
    about: str


def notes(corpus: Path) -> Kind:
    """500 notes in random order, each with its question.

    Args:
        corpus: Folder of the corpus.
    """
    records = [record for file in _FILES for record in read_records(corpus / file)]
    wording = tomllib.loads((_DATA / "notes.toml").read_text(encoding="utf-8"))
    made = [*_written(), *_of_records(records, wording), *_commands(records)]
    made += _countries(records, wording["fields"], COUNT - len(made))
    rng = Random("notes")
    rng.shuffle(made)
    indices: dict[str, list[int]] = defaultdict(list)
    for index, note in enumerate(made):
        indices[note.about].append(index)
    questions = tuple(
        Question(
            note.question,
            (index,),
            half_of(note.about),
            distractors=tuple(other for other in indices[note.about] if other != index),
        )
        for index, note in enumerate(made)
    )
    items = tuple(Item(note.text) for note in made)
    return Kind("notes", "single", (Collection("notes", items, questions),))


def _written() -> Iterator[Note]:
    for line in (_DATA / "facts.tsv").read_text(encoding="utf-8").splitlines():
        text, question = line.split("\t")
        yield Note(text, question, text)


def _of_records(records: Sequence[dict[str, Any]], wording: dict[str, Any]) -> Iterator[Note]:
    lines = [
        _BULLET.sub("", line)
        for record in records
        if record["source"] == "synthetic-records"
        for line in record["text"].split("\n")
    ]
    names = _people(lines, wording["relation"])
    next_person = cycle(names)
    for relation in wording["relation"]:
        found = _matches(lines, relation)[: relation["count"]]
        if relation.get("person"):
            found = [_given(values, next(next_person)) for values in found]
        forms, asks = cycle(relation["note"]), list(relation["ask"])
        for number, values in enumerate(found):
            question = _own_question(asks[number % len(asks) :] + asks, values, found)
            text = next(forms).replace("*", "{line}").format(**values)
            about = values["person"] if relation.get("person") else values[relation["key"]]
            yield Note(text, question, about)


def _matches(lines: Sequence[str], relation: dict[str, Any]) -> list[dict[str, str]]:
    """The records of a relation, each key once."""
    pattern = re.compile(relation["pattern"])
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        if match := pattern.fullmatch(line):
            values = {"line": line, **match.groupdict()}
            found.setdefault(values[relation.get("key", "person")], values)
    return list(found.values())


def _people(lines: Sequence[str], relations: Sequence[dict[str, Any]]) -> list[str]:
    """Names that relations share, no word of which is in another one."""
    found: list[str] = []
    taken: set[str] = set()
    for values in _matches(lines, next(one for one in relations if one["name"] == "phone")):
        words = set(values["person"].split())
        if len(words) == 2 and not words & taken:
            found.append(values["person"])
            taken |= words
    return found[:_PEOPLE]


def _given(values: dict[str, str], person: str) -> dict[str, str]:
    """A record as if it were about another person."""
    line = values["line"].replace(values["person"], person)
    return {**values, "person": person, "line": line}


def _own_question(
    asks: Sequence[str], values: dict[str, str], of_all: Sequence[dict[str, str]]
) -> str:
    """The first question whose values only this record has."""
    for ask in asks:
        names = [name for _, name, _, _ in Formatter().parse(ask) if name]
        same = sum(all(other[name] == values[name] for name in names) for other in of_all)
        if same == 1:
            return ask.format(**values)
    raise InputError(f"no question tells {values!r} from other records")


def _commands(records: Sequence[dict[str, Any]]) -> list[Note]:
    """Commands with what they do, several of one page each."""
    made: list[Note] = []
    for record in records:
        if record["source"] != "tldr-pages":
            continue
        found = _EXAMPLE.findall(record["text"])
        for number, (task, command) in enumerate(found[:_PER_COMMAND]):
            tool = record["title"]
            text = f"{tool}: {task}: {command}" if len(made) % 2 else f"`{command}` - {task}"
            asked = task[:1].lower() + task[1:]
            question = f"How do I {asked} with {tool}?" if number else f"{tool} command to {asked}"
            made.append(Note(text, question, f"{tool} command"))
    return made[:_COMMANDS]


def _countries(
    records: Sequence[dict[str, Any]], fields: dict[str, list[str]], count: int
) -> list[Note]:
    """Fields of countries, several of each country."""
    made: list[Note] = []
    seen: set[tuple[str, str]] = set()
    for record in records:
        country = str(record.get("title")).partition(":")[0]
        if record["source"] != "factbook" or country == "none":
            continue
        section = json.loads(record["text"])
        known = [name for name in section if name in fields and (country, name) not in seen]
        for field in Random(record["title"]).sample(known, min(len(known), _PER_COUNTRY)):
            seen.add((country, field))
            value = _short(section[field])
            number = len(made)
            text = (
                f"{field} of {country}: {value}" if number % 2 else f"{country}, {field}: {value}"
            )
            asks = fields[field]
            made.append(Note(text, asks[number % len(asks)].format(country=country), country))
    if len(made) < count:
        raise InputError(f"the records have {len(made)} fields of countries, {count} are needed")
    return made[:count]


def _short(value: Any) -> str:
    """A field's value, cut where a part of it ends."""
    text = value if isinstance(value, str) else str(next(iter(value.values())))
    kept = text[:_LONGEST_VALUE]
    return kept if kept == text else kept.rpartition("; ")[0] or kept.rpartition(" ")[0]
