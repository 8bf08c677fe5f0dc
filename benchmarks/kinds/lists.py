"""Lists: what several turns answer, each a part: "what sports does Nadia do?".

Two people chat on twenty days; the chats are those of the corpus in which models played people.
Asked is for a class of things, of which the turns name members ("hiking", "I swim on Mondays"), or
for one thing that was mentioned several times. Evidence are the turns in which the person asked for
says something of it in the first person; distractors are those of the other one. Classes, members
and questions are written by hand (``data/lists.toml``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import regex

from agentmem.corpus import read_records
from benchmarks.kinds.collection import Collection, Item, Kind, Question, half_of

# Pairs of people whose names are in none of the chats, each with `CHATS` chats.
PAIRS = (
    *(("Nadia", "Gareth"), ("Ingrid", "Malik"), ("Odette", "Rafael"), ("Bianca", "Howard")),
    *(("Priya", "Stellan"), ("Yvonne", "Dmitri"), ("Carmen", "Eli"), ("Greta", "Kofi")),
    *(("Leona", "Tobias"), ("Miriam", "Anders")),
)
CHATS = 20
# Turns that answer a question, at least and at most.
_LEAST, _MOST = 2, 10
_DATA = Path(__file__).parent / "data" / "lists.toml"
_FILE = "train-conversations-00.jsonl.zst"
_SOURCE = "synthetic-persona-chat"
_BEGIN, _APART = datetime(2023, 1, 2, 18, tzinfo=UTC), timedelta(days=9)
_SENTENCE = regex.compile(r"(?<=[.!?])\s+")
_OWN = regex.compile(r"\b(?:i|my|me|we|our)\b", regex.IGNORECASE)
_NOT = regex.compile(r"\b(?:not|never|no)\b|n['’]t\b|\?\Z", regex.IGNORECASE)


def lists(corpus: Path) -> Kind:
    """Ten pairs of people, with questions about either of a pair.

    Args:
        corpus: Folder of the corpus.
    """
    content = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    chats = [
        record["messages"] for record in read_records(corpus / _FILE) if record["source"] == _SOURCE
    ]
    collections = [
        _collection(pair, chats[number * CHATS : (number + 1) * CHATS], content)
        for number, pair in enumerate(PAIRS)
    ]
    return Kind("lists", "conversation", tuple(one for one in collections if one.questions))


def _collection(
    pair: tuple[str, str], chats: Sequence[Sequence[dict[str, Any]]], content: dict[str, Any]
) -> Collection:
    items: list[Item] = []
    for number, messages in enumerate(chats):
        people = dict(zip(dict.fromkeys(one["name"] for one in messages), pair, strict=False))
        at = _BEGIN + number * _APART
        items += [Item(one["content"], at, people[one["name"]]) for one in messages]
    questions = [
        question
        for one in content["class"]
        for name in pair
        for question in _questions(one, name, items, content["word"])
    ]
    asked = _BEGIN + CHATS * _APART
    return Collection(" and ".join(pair), tuple(items), tuple(questions), asked)


def _questions(
    one: dict[str, Any], name: str, items: Sequence[Item], by_word: Sequence[str]
) -> Iterator[Question]:
    """By the class, if few turns answer it, and by that of its members that most turns name."""
    rng, half = Random(f"{name} {one['name']}"), half_of(one["name"])
    told = [_told(form, items) for form in one["members"]]
    by_class = sorted(set().union(*told))
    own = [index for index in by_class if items[index].name == name]
    if _LEAST <= len(own) <= _MOST:
        ask = rng.choice(one["ask"]).format(name=name)
        others = tuple(index for index in by_class if items[index].name != name)
        yield Question(ask, tuple(own), half, "class", others)
    found: list[tuple[int, str, list[int], list[int]]] = []
    for form, indices in zip(one["members"], told, strict=True):
        mine = [index for index in indices if items[index].name == name]
        theirs = [index for index in indices if items[index].name != name]
        if _LEAST <= len(mine) <= _MOST:
            found.append((len(mine), form.partition("|")[0], mine, theirs))
    if found:
        _, word, mine, theirs = max(found)
        ask = rng.choice(by_word).format(name=name, word=word)
        yield Question(ask, tuple(mine), half, "word", tuple(theirs))


def _told(form: str, items: Sequence[Item]) -> list[int]:
    """Indices of the items in which somebody says something of a member, and does not ask."""
    member = regex.compile(rf"\b(?:{form})\b", regex.IGNORECASE)
    return [
        index
        for index, item in enumerate(items)
        if any(
            member.search(sentence) and _OWN.search(sentence) and not _NOT.search(sentence)
            for sentence in _SENTENCE.split(item.content)
        )
    ]
