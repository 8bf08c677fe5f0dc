"""Small facts as people tell them to an assistant, made by script, with questions about them.

The corpus has questions over paragraphs and task dialogues; what people want remembered is shorter
and said by themselves. The forms stand in ``facts.toml``; the words in them are drawn here, and
half of the names are made up of syllables, so that they can only be read, never guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], str]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing told, and one question about it."""

    told: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Form:
    """Ways of telling a fact and of asking for each of its words."""

    tells: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]


def draw_facts(rng: np.random.Generator, count: int, *, dev: bool = False) -> list[Fact]:
    """Facts of different forms, so that no question is about two of them.

    Args:
        rng: All that they depend on.
        count: How many, at most; there are no more than forms.
        dev: Of the forms that are never trained on.
    """
    forms = read_forms()[dev]
    return [_fill(rng, forms[int(place)]) for place in rng.permutation(len(forms))[:count]]


def _fill(rng: np.random.Generator, form: Form) -> Fact:
    word, ask = form.asks[int(rng.integers(len(form.asks)))]
    values = _Drawn(rng)
    # Only ways of telling that say what is asked, and what the question takes for granted.
    needed = {word, *_names(ask)}
    tells = [tell for tell in form.tells if needed <= _names(tell)]
    tell = tells[int(rng.integers(len(tells)))]
    return Fact(tell.format_map(values), ask.format_map(values), values[word])


@cache
def read_forms() -> tuple[tuple[Form, ...], tuple[Form, ...]]:
    """The forms to train on, and those for development."""
    kinds: tuple[list[Form], list[Form]] = ([], [])
    for fact in _read()["facts"]:
        asks = [(word, ask) for word, listed in fact["asks"].items() for ask in listed]
        kinds[fact.get("dev", False)].append(Form(tuple(fact["tells"]), tuple(asks)))
    return tuple(kinds[0]), tuple(kinds[1])


@cache
def _read() -> dict[str, Any]:
    text = files("agentmem.training").joinpath("facts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class _Drawn(Mapping[str, str]):
    """Words of one fact, each drawn when it is first asked for."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._found: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._found:
            self._found[name] = _WAYS[name](self._rng)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_WAYS)

    def __len__(self) -> int:
        return len(_WAYS)


def _names(form: str) -> set[str]:
    return {part.split("}")[0] for part in form.split("{")[1:]}


def _one(kind: str) -> Draw:
    """One of the words of a kind."""

    def draw(rng: np.random.Generator) -> str:
        words = _read()["words"][kind]
        return str(words[int(rng.integers(len(words)))])

    return draw


def _made_up(kind: str) -> Draw:
    """One of the words of a kind, or one that nobody has heard."""

    def draw(rng: np.random.Generator) -> str:
        if rng.random() < 0.5:
            return _one(kind)(rng)
        count = int(rng.integers(2, 4))
        return "".join(_one("syllable")(rng) for _ in range(count)).capitalize()

    return draw


def _number(low: int, high: int) -> Draw:
    return lambda rng: str(rng.integers(low, high))


def _code(rng: np.random.Generator) -> str:
    letters = "".join(chr(ord("A") + int(n)) for n in rng.integers(0, 26, int(rng.integers(1, 4))))
    joint = ("", "-")[int(rng.integers(2))]
    digits = str(rng.integers(10, 10 ** int(rng.integers(2, 6))))
    return f"{letters}{joint}{digits}" if rng.random() < 0.7 else f"{digits}{letters[0]}"


def _date(rng: np.random.Generator) -> str:
    day, month = int(rng.integers(1, 29)), _one("month")(rng)
    return f"{month} {day}" if rng.random() < 0.5 else f"{day} {month}"


def _time(rng: np.random.Generator) -> str:
    hour, minute = int(rng.integers(1, 13)), int(rng.integers(0, 12)) * 5
    half = ("am", "pm")[int(rng.integers(2))]
    return (f"{hour}:{minute:02}", f"{hour} {half}", f"{hour}:{minute:02} {half}")[
        int(rng.integers(3))
    ]


def _price(rng: np.random.Generator) -> str:
    return f"{('$', '€')[int(rng.integers(2))]}{rng.integers(1, 2000)}"


def _secret(rng: np.random.Generator) -> str:
    joint = "-_."[int(rng.integers(3))]
    return joint.join([_one("plain")(rng), _one("plain")(rng), str(rng.integers(1, 999))])


def _email(rng: np.random.Generator) -> str:
    return f"{_one('plain')(rng)}{rng.integers(99)}@{_made_up('last')(rng).lower()}.org"


def _phone(rng: np.random.Generator) -> str:
    return f"{rng.integers(100, 999)}-{rng.integers(100, 999)}-{rng.integers(1000, 9999)}"


def _street(rng: np.random.Generator) -> str:
    return f"{_made_up('last')(rng)} {('Street', 'Road', 'Lane')[int(rng.integers(3))]}"


def _person(rng: np.random.Generator) -> str:
    return f"{_made_up('first')(rng)} {_made_up('last')(rng)}"


_WAYS: dict[str, Draw] = {
    "age": _number(2, 90),
    "animal": _one("animal"),
    "car": _one("car"),
    "city": _made_up("city"),
    "code": _code,
    "colour": _one("colour"),
    "company": _made_up("last"),
    "date": _date,
    "email": _email,
    "first": _made_up("first"),
    "food": _one("food"),
    "instrument": _one("instrument"),
    "job": _one("job"),
    "language": _one("language"),
    "last": _made_up("last"),
    "number": _number(1, 10_000),
    "person": _person,
    "pet": _made_up("first"),
    "phone": _phone,
    "place": _one("place"),
    "price": _price,
    "secret": _secret,
    "sport": _one("sport"),
    "street": _street,
    "thing": _one("thing"),
    "time": _time,
    "title": _one("title"),
    "weekday": _one("weekday"),
    "year": _number(1940, 2015),
}
