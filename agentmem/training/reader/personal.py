"""Endless training rows for answering questions from short personal memories.

A row is an :class:`Exercise`: some short memories of one person (or of two people), and
questions about them, each with a short answer or with none when no memory answers it. The
wording lives in the TOML files under ``personal_data``; this module reads them, checks them and
puts exercises together. The same seed always gives the same exercises.

The template language of the data files:

* ``{a|b}`` takes one alternative, ``[a]`` is kept half of the time; both nest;
* ``<x>`` is a variable of the frame or else a draw from the pool ``x``; ``<#3-40>`` is a whole
  number of that range (``<#05-59>`` pads with zeros, ``<#10-90:5>`` goes in steps);
* ``$I $my $me $mine $I'm $I've $I'll $I'd`` name the owner of the fact as the speaker would
  ("I", "you", "Ana", "my sister"; mostly "she" the second time), ``$she $her $him $myself`` by a
  pronoun always;
* ``@prefer`` is a verb in the present tense that agrees with the owner; ``@@`` is a plain "@";
* ``a_``, and "a" before a variable or pool, is "a" or "an", as the next word asks for;
* ``<day>`` is "today", "this morning" and the like: the date of the memory line answers "when".

A frame is one kind of fact with one or more attributes:

* ``who``: ``any`` (anyone can have it), ``me`` (only the main people) or ``we`` (the household);
* ``vars``: the attributes and how to draw their values, alternatives parted by ", ";
* ``key``: the attribute that tells two facts of one owner apart;
* ``many``: the attribute of which one owner may have two values at once;
* ``group``: frames of one group are never both stated of the same owner;
* ``say``, ``note``: statements, and bare notes; ``pro``, ``con``: statements of a yes/no fact;
* ``ask.x``: questions for attribute x (``day`` and ``polar`` are the special ones);
* ``yes.x``: "is it <x>?" where another value may be true as well; ``check.x``: where it cannot;
* ``change.x``: statements of a new value of x; ``past.x``: questions for the one before.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

DATA: Final = Path(__file__).with_name("personal_data")

_MONTHS: Final = (
    "January February March April May June July August September October November December"
).split()
_MACROS: Final = (
    "I'm", "I've", "I'll", "I'd", "I", "myself", "my", "mine", "me", "she", "her", "him"
)  # fmt: skip
_MACRO: Final = re.compile(r"\$(I'm|I've|I'll|I'd|I|myself|mine|my|me|she|her|him)(?![A-Za-z])")
_TOKEN: Final = re.compile(
    r"[{}|\[\]]|<[^<>]*>|@@|@[a-z]+(?:'t)?|" + _MACRO.pattern + r"|[^{}|\[\]<>@$]+|\$"
)
_ARTICLE: Final = re.compile(r"\b([aA])_ (.?.?.?)")
_APOSTROPHE: Final = re.compile(
    r"\b(what|when|who|where|how|i|it|that|don|doesn|can|didn)'(s|m|ve|d|t)\b"
)
_SPACE: Final = re.compile(r" {2,}| +(?=[?.,;!])")
_SENTENCE: Final = re.compile(r"([.!?] )([a-z])")
_IRREGULAR: Final = {
    "am": ("am", "are", "is", "are"),
    "was": ("was", "were", "was", "were"),
    "wasn't": ("wasn't", "weren't", "wasn't", "weren't"),
    "have": ("have", "have", "has", "have"),
    "haven't": ("haven't", "haven't", "hasn't", "haven't"),
    "do": ("do", "do", "does", "do"),
    "don't": ("don't", "don't", "doesn't", "don't"),
    "go": ("go", "go", "goes", "go"),
}
_DAYS: Final = (
    ("today", 0), ("this morning", 0), ("this afternoon", 0), ("today", 0), ("this evening", 0),
    ("earlier today", 0), ("yesterday", 1),
)  # fmt: skip
_SPECIAL: Final = frozenset({"day", "polar"})
# A statement that begins so asks something of the listener: the assistant never says it.
_ORDERS: Final = (
    "call ", "please ", "don't ", "follow ", "send ", "in an emergency", "if ", "count ", "can ",
    "someone ", "shopping ", "put ", "type ", "read ", "ssh ", "to deploy ", "new job!", "nothing ",
    "no ", "for me", "drinks",
)  # fmt: skip
_ADULTS: Final = (
    ("sister", "f"), ("brother", "m"), ("cousin", "fm"), ("mum", "f"), ("dad", "m"),
    ("aunt", "f"), ("uncle", "m"), ("classmate", "fm"), ("coworker", "fm"), ("flatmate", "fm"),
    ("neighbour", "fm"), ("colleague", "fm"), ("sister-in-law", "f"), ("brother-in-law", "m"),
    ("grandmother", "f"), ("grandfather", "m"), ("niece", "f"), ("nephew", "m"), ("ex", "fm"),
    ("godmother", "f"), ("stepfather", "m"), ("pen pal", "fm"), ("great-aunt", "f"),
    ("godson", "m"), ("goddaughter", "f"), ("carpool buddy", "fm"),
)  # fmt: skip


class DataError(ValueError):
    """A data file breaks a rule of the template language or of the frames."""


@dataclass(frozen=True)
class MemoryLine:
    """One short memory.

    Attributes:
        date: The ISO day it was written.
        speaker: A name, or "user" or "assistant".
        text: What was said or noted.
    """

    date: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Exercise:
    """Some memories and questions about them.

    Attributes:
        memories: The memories, mostly in order of time.
        questions: Each question with its short answer (None: no memory answers it) and the
            indices of the memories that hold the evidence.
    """

    memories: tuple[MemoryLine, ...]
    questions: tuple[tuple[str, str | None, tuple[int, ...]], ...]


# --------------------------------------------------------------------------------------------
# Templates


class _Voice:
    """How a speaker names the owner of a fact, and which verb form goes with it."""

    __slots__ = ("again", "form", "words")

    def __init__(self, words: Sequence[str], form: int) -> None:
        self.words = dict(zip(_MACROS, words, strict=True))
        self.form = form
        # The words for a second mention within one sentence.
        she, be, have = self.words["she"], "are", "have"
        if form == 2:
            be, have = "is", "has"
        self.again = self.words if form < 2 else self.words | {
            "I": she, "my": self.words["her"], "me": self.words["him"], "I'm": f"{she} {be}",
            "I've": f"{she} {have}", "I'll": f"{she} will", "I'd": f"{she} would",
        }  # fmt: skip

    def fill(self, text: str, again: bool) -> str:
        """Replaces the owner macros left in a drawn value."""
        words = self.again if again else self.words
        return _MACRO.sub(lambda match: words[match[1]], text)


_I: Final = _Voice(
    ("I'm", "I've", "I'll", "I'd", "I", "myself", "my", "mine", "me", "I", "my", "me"), 0
)
_YOU: Final = _Voice(
    ("you're", "you've", "you'll", "you'd", "you", "yourself", "your", "yours", "you", "you",
     "your", "you"), 1,
)  # fmt: skip
_WE: Final = _Voice(
    ("we're", "we've", "we'll", "we'd", "we", "ourselves", "our", "ours", "us", "we", "our",
     "us"), 3,
)  # fmt: skip


def _third(name: str, gender: str) -> _Voice:
    """The voice for someone spoken of by name; gender "p" is for a pair of people."""
    she, her, him, self, form = {
        "f": ("she", "her", "her", "herself", 2),
        "m": ("he", "his", "him", "himself", 2),
        "p": ("they", "their", "them", "themselves", 3),
    }[gender]
    be, have = ("are", "have") if form == 3 else ("is", "has")
    own = f"{name}'s"
    words = (
        f"{name} {be}", f"{name} {have}", f"{name} will", f"{name} would", name, self, own, own,
        name, she, her, him,
    )  # fmt: skip
    return _Voice(words, form)


class _Scene:
    """What a template is rendered with, and what the rendering used."""

    __slots__ = ("mentioned", "offset", "random", "used", "values", "voice")

    def __init__(self, random: Callable[[], float]) -> None:
        self.random = random
        self.values: Mapping[str, str] = {}
        self.voice: _Voice | None = None
        self.used: set[str] = set()
        self.offset = 0
        self.mentioned = False


class _Node:
    __slots__ = ()

    def put(self, out: list[str], scene: _Scene) -> None:
        raise NotImplementedError

    def names(self) -> set[str]:
        """The variables this part may use."""
        return set()

    def owned(self) -> bool:
        """Whether this part names the owner."""
        return False


_Seq = tuple[str | _Node, ...]


class _Forms(tuple[_Seq, ...]):
    """Alternative templates, and those of them that always name the owner."""

    named: tuple[_Seq, ...]


def _put(seq: _Seq, out: list[str], scene: _Scene) -> None:
    for part in seq:
        if part.__class__ is str:
            out.append(part)
        else:
            part.put(out, scene)  # type: ignore[union-attr]


def _plain(seq: _Seq) -> str | _Seq:
    """The text itself where a template is nothing else."""
    if len(seq) == 1 and isinstance(seq[0], str):
        return seq[0]
    return seq


def _names(seq: _Seq) -> set[str]:
    return {name for part in seq if isinstance(part, _Node) for name in part.names()}


def _owned(seq: _Seq) -> bool:
    return any(part.owned() for part in seq if isinstance(part, _Node))


def _forms(seqs: Iterable[_Seq]) -> _Forms:
    forms = _Forms(seqs)
    forms.named = tuple(seq for seq in forms if _first_mention(seq))
    return forms


def _first_mention(seq: _Seq) -> bool:
    """Whether a template always names the owner in full, not only by a pronoun."""
    return any(
        (isinstance(part, _Own) and part.macro not in ("she", "her", "him", "myself"))
        or (isinstance(part, _Alt) and all(_first_mention(option) for option in part.options))
        for part in seq
    )


class _Alt(_Node):
    __slots__ = ("options", "plain")

    def __init__(self, options: Sequence[_Seq]) -> None:
        self.options = options
        self.plain = [_plain(option) for option in options]

    def put(self, out: list[str], scene: _Scene) -> None:
        option = self.plain[int(scene.random() * len(self.plain))]
        if option.__class__ is str:
            out.append(option)
        else:
            _put(option, out, scene)  # type: ignore[arg-type]

    def names(self) -> set[str]:
        return {name for option in self.options for name in _names(option)}

    def owned(self) -> bool:
        return any(_owned(option) for option in self.options)


class _Var(_Node):
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, out: list[str], scene: _Scene) -> None:
        value = scene.values[self.name]
        scene.used.add(self.name)
        if "$" in value and scene.voice is not None:
            value = scene.voice.fill(value, scene.mentioned)
            scene.mentioned = True
        out.append(value)

    def names(self) -> set[str]:
        return {self.name}


class _Day(_Node):
    __slots__ = ()

    def put(self, out: list[str], scene: _Scene) -> None:
        word, scene.offset = _DAYS[int(scene.random() * len(_DAYS))]
        scene.used.add("day")
        out.append(word)

    def names(self) -> set[str]:
        return {"day"}


class _Pool(_Node):
    __slots__ = ("entries", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: list[str | _Seq] = []

    def put(self, out: list[str], scene: _Scene) -> None:
        entry = self.entries[int(scene.random() * len(self.entries))]
        if entry.__class__ is str:
            out.append(entry)
        else:
            _put(entry, out, scene)  # type: ignore[arg-type]


class _Number(_Node):
    __slots__ = ("count", "low", "step", "width")

    def __init__(self, spec: str) -> None:
        match = re.fullmatch(r"#(\d+)-(\d+)(?::(\d+))?", spec)
        if match is None:
            raise DataError(f"<{spec}> is not a range like <#1-40>")
        self.low, self.step = int(match[1]), int(match[3] or 1)
        self.count = (int(match[2]) - self.low) // self.step + 1
        self.width = len(match[1]) if match[1].startswith("0") and len(match[1]) > 1 else 1

    def put(self, out: list[str], scene: _Scene) -> None:
        out.append(str(self.low + self.step * int(scene.random() * self.count)).zfill(self.width))


class _Coined(_Node):
    """A made-up word, which no reader can guess."""

    __slots__ = ("capital",)
    starts: Final = "B Br C D Dr F G H J K Kr L M N P Pr Qu R S Sk St T Tr V W Y Z".split()
    middles: Final = "a e i o u a e o ai ea io".split()
    links: Final = "b d g k l lm ll m n nd nt r rk rl rr s ss st t v x z lv mb".split()
    ends: Final = "a o e en is or ix al una ello ette ara ium ian eth ock in et".split()

    def __init__(self, capital: bool) -> None:
        self.capital = capital

    def put(self, out: list[str], scene: _Scene) -> None:
        random = scene.random
        word = self.starts[int(random() * len(self.starts))]
        for _ in range(1 if random() < 0.6 else 2):
            word += self.middles[int(random() * len(self.middles))]
            word += self.links[int(random() * len(self.links))]
        word += self.ends[int(random() * len(self.ends))]
        out.append(word if self.capital else word.lower())


class _Own(_Node):
    __slots__ = ("macro",)

    def __init__(self, macro: str) -> None:
        self.macro = macro

    def put(self, out: list[str], scene: _Scene) -> None:
        voice = scene.voice
        if voice is None:
            out.append("$" + self.macro)
        elif scene.mentioned and scene.random() < 0.8:
            out.append(voice.again[self.macro])
        else:
            out.append(voice.words[self.macro])
            scene.mentioned = True

    def owned(self) -> bool:
        return True


class _Verb(_Node):
    __slots__ = ("forms",)

    def __init__(self, verb: str) -> None:
        forms = _IRREGULAR.get(verb)
        if forms is None:
            if re.search(r"(s|x|z|ch|sh|o)$", verb):
                third = verb + "es"
            elif re.search(r"[^aeiou]y$", verb):
                third = verb[:-1] + "ies"
            else:
                third = verb + "s"
            forms = (verb, verb, third, verb)
        self.forms = forms

    def put(self, out: list[str], scene: _Scene) -> None:
        if scene.voice is None:
            raise DataError(f"@{self.forms[0]} stands where no owner is known")
        out.append(self.forms[scene.voice.form])

    def owned(self) -> bool:
        return True


class _Reader:
    """Compiles templates; pools are shared, so that each is drawn from one list."""

    def __init__(self, pools: Mapping[str, Sequence[str]]) -> None:
        self.pools = {name: _Pool(name) for name in pools}
        for name, entries in pools.items():
            for entry in entries:
                seq = self.read(entry, frozenset(), f"pool {name}")
                self.pools[name].entries.append(_plain(seq))

    def read(self, text: str, variables: frozenset[str], where: str) -> _Seq:
        """Compiles one template.

        Args:
            text: The template.
            variables: Names that are variables of the frame and not pools.
            where: The place to name in an error.

        Raises:
            DataError: The template is malformed or names an unknown pool.
        """
        text = re.sub(r"\b([aA]) (?=<)", r"\1_ ", text)
        tokens = [match[0] for match in _TOKEN.finditer(text)]
        if "".join(tokens) != text:
            raise DataError(f"{where}: stray character in {text!r}")
        try:
            seq, rest = self._sequence(tokens, 0, variables, "")
        except DataError as error:
            raise DataError(f"{where}: {error} in {text!r}") from None
        if rest != len(tokens):
            raise DataError(f"{where}: unexpected {tokens[rest]!r} in {text!r}")
        return seq

    def _sequence(
        self, tokens: Sequence[str], at: int, variables: frozenset[str], stop: str
    ) -> tuple[_Seq, int]:
        parts: list[str | _Node] = []
        while at < len(tokens) and tokens[at] not in ("|", "}", "]"):
            token = tokens[at]
            at += 1
            if token in "{[":
                close = "}" if token == "{" else "]"
                options: list[_Seq] = []
                while True:
                    option, at = self._sequence(tokens, at, variables, close)
                    options.append(option)
                    if at >= len(tokens):
                        raise DataError(f"missing {close!r}")
                    at += 1
                    if tokens[at - 1] == close:
                        break
                    if tokens[at - 1] != "|":
                        raise DataError(f"{tokens[at - 1]!r} does not close {token!r}")
                if token == "[":
                    options.extend([()] * len(options))
                parts.append(_Alt(options))
            else:
                parts.append(self._leaf(token, variables))
        if not stop and at < len(tokens):
            raise DataError(f"unexpected {tokens[at]!r}")
        merged: list[str | _Node] = []
        for part in parts:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            else:
                merged.append(part)
        return tuple(merged), at

    def _leaf(self, token: str, variables: frozenset[str]) -> str | _Node:
        if token == "@@":
            return "@"
        if token[0] == "@" and len(token) > 1:
            return _Verb(token[1:])
        if token[0] == "$" and len(token) > 1:
            return _Own(token[1:])
        if token[0] != "<":
            return token
        name = token[1:-1]
        if name in variables:
            return _Day() if name == "day" else _Var(name)
        if name.startswith("#"):
            return _Number(name)
        if name in ("Coined", "coined"):
            return _Coined(name == "Coined")
        if name not in self.pools:
            raise DataError(f"<{name}> is neither a variable nor a pool")
        return self.pools[name]


# --------------------------------------------------------------------------------------------
# Frames


@dataclass(frozen=True)
class _Frame:
    """One kind of fact, compiled from its table."""

    name: str
    topic: str
    who: str
    key: str
    many: str
    group: str
    vars: Mapping[str, _Seq]
    say: _Forms
    note: _Forms
    free_note: _Forms
    pro: _Forms
    con: _Forms
    ask: Mapping[str, _Forms]
    yes: Mapping[str, _Forms]
    check: Mapping[str, _Forms]
    change: Mapping[str, _Forms]
    past: Mapping[str, _Forms]


@dataclass(frozen=True)
class _Book:
    """All the data, ready to draw from."""

    frames: tuple[_Frame, ...]
    topics: Mapping[str, tuple[_Frame, ...]]
    pools: Mapping[str, _Pool]
    names: Mapping[str, tuple[str, ...]]


_FRAME_KEYS: Final = frozenset(
    "who key many group vars say note pro con ask yes check change past".split()
)
_NEEDED_POOLS: Final = (
    "opener", "before", "after", "chat", "assistant_chat", "ack", "ack_after", "question_opener",
    "list_opener", "link", "ramble", "woman", "man",
)  # fmt: skip


_WE_WORDS: Final = (
    (re.compile(r"(?<![$\w])(?:we|I)'(m|ve|ll|d|re)\b"), r"$I'\1"),
    (re.compile(r"(?<![$\w'])(?:we|I)(?![\w'])"), "$I"),
    (re.compile(r"(?<![$\w])(?:our|my)(?!\w)"), "$my"),
    (re.compile(r"(?<![$\w])us(?!\w)"), "$me"),
)


def _shared(line: str) -> str:
    """A statement of the household in the voice of whoever makes it."""
    for pattern, macro in _WE_WORDS:
        line = pattern.sub(macro, line)
    return line.replace("$I're", "$I'm")


def _lines(value: object, where: str) -> list[str]:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text with one template a line")
    return [line.strip() for line in value.splitlines() if line.strip()]


def _read_frame(name: str, topic: str, table: Mapping[str, Any], reader: _Reader) -> _Frame:
    where = f"{topic}.toml [{name}]"
    unknown = set(table) - _FRAME_KEYS
    if unknown:
        raise DataError(f"{where}: unknown key {sorted(unknown)[0]!r}")
    who = table.get("who", "any")
    if who not in ("any", "me", "we"):
        raise DataError(f"{where}: who is {who!r}, not any, me or we")
    raw_vars: Mapping[str, str] = table.get("vars", {})
    variables = frozenset(raw_vars) | {"day"}

    def block(value: object, place: str) -> _Forms:
        lines = _lines(value, place)
        if who == "we" and " ask" not in place and " past" not in place:
            lines = [_shared(line) for line in lines]
        return _forms(reader.read(line, variables, place) for line in lines)

    def blocks(key: str) -> dict[str, _Forms]:
        return {
            attribute: block(value, f"{where} {key}.{attribute}")
            for attribute, value in table.get(key, {}).items()
        }

    notes = block(table.get("note", ""), f"{where} note")
    frame = _Frame(
        name=name,
        topic=topic,
        who=who,
        key=table.get("key", ""),
        many=table.get("many", ""),
        group=table.get("group", name),
        vars={
            variable: (_Alt([reader.read(cell, frozenset(), where) for cell in text.split(", ")]),)
            for variable, text in raw_vars.items()
        },
        say=block(table.get("say", ""), f"{where} say"),
        note=_forms(seq for seq in notes if _owned(seq)),
        free_note=_forms(seq for seq in notes if not _owned(seq)),
        pro=block(table.get("pro", ""), f"{where} pro"),
        con=block(table.get("con", ""), f"{where} con"),
        ask=blocks("ask"),
        yes=blocks("yes"),
        check=blocks("check"),
        change=blocks("change"),
        past=blocks("past"),
    )
    _check_frame(frame, where)
    return frame


def _check_frame(frame: _Frame, where: str) -> None:
    """Checks what the assembly relies on.

    Raises:
        DataError: A rule is broken; the message tells all that are.
    """
    faults = [*_role_faults(frame), *_ask_faults(frame), *_owner_faults(frame)]
    if faults:
        raise DataError("\n".join(f"{where}: {fault}" for fault in faults))


def _role_faults(frame: _Frame) -> Iterator[str]:
    for role in (frame.key, frame.many):
        if role and role not in frame.vars:
            yield f"{role!r} is not one of its vars"
    if bool(frame.pro) != bool(frame.con) or bool(frame.pro) != ("polar" in frame.ask):
        yield "pro, con and ask.polar go together"
    for key, table in (("yes", frame.yes), ("check", frame.check), ("change", frame.change)):
        for attribute, seqs in table.items():
            if attribute not in frame.vars or not all(attribute in _names(seq) for seq in seqs):
                yield f"each form of {key}.{attribute} must use <{attribute}>"
    for attribute in (*frame.change, *frame.past):
        if attribute not in frame.ask or attribute not in frame.change:
            yield f"{attribute!r} needs both ask and change"


def _ask_faults(frame: _Frame) -> Iterator[str]:
    if not frame.ask:
        yield "no questions"
    for attribute, seqs in frame.ask.items():
        if attribute not in frame.vars and attribute not in _SPECIAL:
            yield f"ask.{attribute} is not one of its vars"
        if len(seqs) < 4:
            yield f"ask.{attribute} has fewer than 4 forms"
        if any(attribute in _names(seq) for seq in seqs):
            yield f"a form of ask.{attribute} gives the answer away"
        if attribute == "polar":
            tells = min(len(frame.pro), len(frame.con))
        else:
            told = (*frame.say, *frame.note, *frame.free_note, *frame.change.get(attribute, ()))
            tells = sum(attribute in _names(seq) for seq in told)
        if tells < 3:
            yield f"fewer than 3 statements tell {attribute!r}"


def _owner_faults(frame: _Frame) -> Iterator[str]:
    if frame.who == "we":
        return
    groups = {"say": frame.say, "pro": frame.pro, "con": frame.con}
    groups |= {f"change.{key}": forms for key, forms in frame.change.items()}
    for key, forms in groups.items():
        if forms and len(forms.named) < 2:
            yield f"fewer than 2 forms of {key} always name the owner"
    tables = {"ask": frame.ask, "yes": frame.yes, "check": frame.check, "past": frame.past}
    for key, table in tables.items():
        for attribute, forms in table.items():
            if len(forms.named) != len(forms):
                yield f"not every form of {key}.{attribute} names the owner"


def _read_pools() -> dict[str, list[str]]:
    pools: dict[str, list[str]] = {}
    tables = tomllib.loads((DATA / "pools.toml").read_text("utf-8"))
    for name, text in tables["words"].items():
        cells = (cell.strip(" ,") for cell in text.replace("\n", " ").split(", "))
        pools[name] = [cell for cell in cells if cell]
    for name, text in tables["sentences"].items():
        pools[name] = _lines(text, f"pools.toml {name}")
    for needed in _NEEDED_POOLS:
        if not pools.get(needed):
            raise DataError(f"pools.toml: the pool {needed!r} is missing or empty")
    pools["name"] = [*pools["woman"], *pools["man"]]
    return pools


@cache
def _book() -> _Book:
    """Reads the data files once.

    Raises:
        DataError: A file breaks a rule.
    """
    pools = _read_pools()
    names = {"f": tuple(pools["woman"]), "m": tuple(pools["man"])}
    reader = _Reader(pools)
    frames: list[_Frame] = []
    faults: list[str] = []
    for path in sorted(DATA.glob("*.toml")):
        if path.stem == "pools":
            continue
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{path.name}: {error}") from None
        for name, table in tables.items():
            try:
                frames.append(_read_frame(name, path.stem, table, reader))
            except DataError as error:
                faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    if len({frame.name for frame in frames}) != len(frames):
        raise DataError("two frames have the same name")
    topics: dict[str, list[_Frame]] = {}
    for frame in frames:
        topics.setdefault(frame.topic, []).append(frame)
    return _Book(
        tuple(frames), {key: tuple(value) for key, value in topics.items()}, reader.pools, names
    )


# --------------------------------------------------------------------------------------------
# People


@dataclass(frozen=True, eq=False)
class _Person:
    """Someone facts are about.

    Attributes:
        name: The name.
        gender: "f", "m", or "p" for a pair.
        relation: "sister" and the like, or "" for someone known by name.
        of: The main person whose relation it is.
        style: How statements refer to them: "name", "rel" ("my sister"), "both" ("my sister
            Nora") or "link" (by name; another memory tells who that is).
    """

    name: str
    gender: str
    relation: str = ""
    of: _Person | None = None
    style: str = "name"


# How a memory tells a fact: the memory, the attributes, the voice, how many days ago it was.
_Telling = tuple[int, frozenset[str], "_Voice", int]


class _Values(dict[str, str]):
    """The values of a fact, each drawn when it is first needed.

    Args:
        builder: The builder that draws.
        frame: The frame the values are for.
        avoid: Other values of the frame, from which these must differ.
        base: Where given, the values to take over instead of drawing.
    """

    __slots__ = ("avoid", "base", "builder", "frame")

    def __init__(
        self,
        builder: _Builder,
        frame: _Frame,
        avoid: Sequence[_Values] = (),
        base: _Values | None = None,
    ) -> None:
        super().__init__()
        self.builder, self.frame, self.avoid, self.base = builder, frame, avoid, base

    def __missing__(self, name: str) -> str:
        if self.base is not None:
            value = self.base[name]
        else:
            value = self.builder.draw_value(self.frame, name, self)
        self[name] = value
        return value


@dataclass(eq=False)
class _Fact:
    """A fact of an exercise, and the memories that tell it."""

    frame: _Frame
    owner: _Person
    values: _Values
    changed: str = ""
    older: _Fact | None = None
    newer: _Fact | None = None
    sibling: _Fact | None = None
    told: list[_Telling] = field(default_factory=list)

    def attributes(self) -> set[str]:
        """All that any memory tells of it."""
        return {name for _, used, _, _ in self.told for name in used}


@dataclass(frozen=True)
class _Miss:
    """A question that no memory answers: what it asks, and what it may and must name."""

    kind: str
    frame: _Frame
    owner: _Person
    values: _Values
    attributes: tuple[str, ...]
    allowed: set[str] | None = None
    must: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trace:
    """What a question asks, for tests: which frame, which attribute, of whom.

    Attributes:
        frame: The name of the frame.
        attribute: The attribute asked for.
        owner: A label of the person.
        named: The values of other attributes that the question names.
        kind: How the question was made.
    """

    frame: str
    attribute: str
    owner: str
    named: tuple[tuple[str, str], ...]
    kind: str


@dataclass(frozen=True)
class Told:
    """What one memory tells, for tests.

    Attributes:
        memory: The index of the memory.
        frame: The name of the frame.
        owner: A label of the person.
        values: The attributes told, with their values.
    """

    memory: int
    frame: str
    owner: str
    values: tuple[tuple[str, str], ...]


@lru_cache(4096)
def _iso_date(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def _spoken_date(ordinal: int) -> str:
    day = date.fromordinal(ordinal)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _an(match: re.Match[str]) -> str:
    after = match[2].lower()
    vowel = after[:1] in ("a", "e", "i", "o", "u", "8") and after not in (
        "uni", "eur", "one", "use", "usb", "uti", "uku", "ux ", "uk "
    )  # fmt: skip
    return f"{match[1]}{'n' if vowel or after in ('11 ', '18 ') else ''} {match[2]}"


# --------------------------------------------------------------------------------------------
# Exercises


class _Builder:
    """Puts one exercise together."""

    def __init__(self, rng: Random, book: _Book, tracing: bool) -> None:
        self.tracing = tracing
        self.random = rng.random
        self.rng = rng
        self.book = book
        self.scene = _Scene(rng.random)
        self.draw_scene = _Scene(rng.random)
        self.facts: list[_Fact] = []
        self.by_group: dict[tuple[str, _Person], list[_Fact]] = {}
        self.voices: dict[tuple[str, _Person], _Voice] = {}
        self.links: dict[_Person, int] = {}
        self.questions: list[tuple[str, str | None, tuple[int, ...]]] = []
        self.traces: list[Trace] = []
        self.asked: set[tuple[str, str, _Person, str]] = set()
        self.cast()

    # -- small helpers

    def pick(self, items: Sequence[_T]) -> _T:
        return items[int(self.random() * len(items))]

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pool(self, name: str) -> str:
        self.scene.values, self.scene.voice, self.scene.used = {}, None, set()
        out: list[str] = []
        self.book.pools[name].put(out, self.scene)
        text = "".join(out)
        return _ARTICLE.sub(_an, text) if "a_ " in text.lower() else text

    def render(
        self, seq: _Seq, values: Mapping[str, str], voice: _Voice | None
    ) -> tuple[str, frozenset[str]]:
        scene = self.scene
        scene.values, scene.voice, scene.used = values, voice, set()
        scene.offset, scene.mentioned = 0, False
        out: list[str] = []
        _put(seq, out, scene)
        text = "".join(out)
        if "a_ " in text:
            text = _ARTICLE.sub(_an, text)
        if "  " in text or " ?" in text or " ," in text or " ." in text:
            text = _SPACE.sub(
                lambda match: (
                    " " if match.end() < len(text) and text[match.end()] not in "?.,;!" else ""
                ),
                text,
            )
        return text.strip(), frozenset(scene.used)

    # -- people

    def new_name(self, gender: str) -> str:
        while (name := self.pick(self.book.names[gender])) in self.used_names:
            pass
        self.used_names.add(name)
        return name

    def cast(self) -> None:
        """Chooses the people and the kind of memory store."""
        self.used_names: set[str] = set()
        roll = self.random()
        self.mode = "user" if roll < 0.5 else "named" if roll < 0.67 else "pair"
        self.noted = self.pick(("the user", "the user", "User"))
        gender = self.pick("fm")
        self.me = _Person(self.new_name(gender), gender)
        self.main = [self.me]
        if self.mode == "pair":
            gender = self.pick("fm")
            self.main.append(_Person(self.new_name(gender), gender))
        both = " and ".join(person.name for person in self.main)
        self.house = _Person(both, "p")
        self.asker = self.me if self.mode == "user" or (
            self.mode == "named" and self.chance(0.6)
        ) else None  # fmt: skip
        self.others: list[_Person] = []
        relations: set[str] = set()
        for _ in range(1 + int(self.random() * 3)):
            if self.chance(0.3):
                gender = self.pick("fm")
                self.others.append(_Person(self.new_name(gender), gender))
                continue
            relation, genders = self.pick(_ADULTS)
            if relation in relations:
                continue
            relations.add(relation)
            gender = self.pick(genders)
            style = self.pick(("rel", "rel", "both", "link"))
            self.others.append(
                _Person(self.new_name(gender), gender, relation, self.pick(self.main), style)
            )

    def possessor(self, person: _Person, view: str) -> str:
        if person is self.me:
            if view in ("me", "my"):
                return "my"
            if view == "you":
                return "your"
            if self.mode == "user":
                return f"{self.noted}'s"
        elif view == "p1" and len(self.main) > 1 and person is self.main[1]:
            return "my"
        return f"{person.name}'s"

    def voice(self, person: _Person, view: str) -> _Voice:
        """The voice in which a view speaks of a person.

        Args:
            person: Whom it is about.
            view: "me" (the main person speaks), "p1" (the other main person speaks), "you" (the
                assistant speaks to the main person), "third" (a note), "ask" (a question).
        """
        if view == "ask" and self.asker is not None:
            view = "my"
        found = self.voices.get((view, person))
        if found is None:
            found = self.voices[view, person] = self._voice(person, view)
        return found

    def _voice(self, person: _Person, view: str) -> _Voice:
        if person is self.house:
            if view == "you":
                return _YOU
            return _third(person.name, "p") if view == "ask" and self.mode == "pair" else _WE
        if person is self.me and view in ("me", "my"):
            return _I
        if person is self.me and view == "you":
            return _YOU
        if view == "p1" and len(self.main) > 1 and person is self.main[1]:
            return _I
        if person is self.me and self.mode == "user":
            return _third(self.noted, person.gender)
        name = person.name
        if person.of is not None:
            relation = f"{self.possessor(person.of, view)} {person.relation}"
            asking = view in ("ask", "my")
            if person.style == "rel":
                name = relation
            elif person.style == "both":
                name = f"{relation} {name}" if not asking else self.pick((relation, name))
            elif asking and self.chance(0.6):
                name = relation
        return _third(name, person.gender)

    # -- facts

    def draw(self, frame: _Frame, avoid: Sequence[_Values] = ()) -> _Values:
        """Values for a frame that differ from each other and from others given."""
        values = _Values(self, frame, avoid)
        if frame.pro:
            values["polar"] = "Yes" if self.chance(0.5) else "No"
        return values

    def draw_value(self, frame: _Frame, name: str, values: _Values) -> str:
        """Draws one value that is new to the fact and no name of the people."""
        seq, scene = frame.vars[name], self.draw_scene
        used = values.values()
        others = [other[name] for other in values.avoid]
        value = ""
        for _ in range(12):
            out: list[str] = []
            _put(seq, out, scene)
            value = "".join(out)
            if "a_ " in value:
                value = _ARTICLE.sub(_an, value)
            if value in used or value in others:
                continue
            if self.used_names.isdisjoint(value.split()):
                break
        return value

    def owner(self, frame: _Frame) -> _Person:
        if frame.who == "we":
            return self.house
        if frame.who == "me" or self.chance(0.62) or not self.others:
            return self.pick(self.main)
        return self.pick(self.others)

    def add(self, frame: _Frame, owner: _Person, values: _Values) -> _Fact:
        fact = _Fact(frame, owner, values)
        self.facts.append(fact)
        self.by_group.setdefault((frame.group, owner), []).append(fact)
        return fact

    def invent(self, frame: _Frame, count: int) -> None:
        """Adds a fact of a frame and, often, near misses of it."""
        owner = self.owner(frame)
        if (frame.group, owner) in self.by_group:
            return
        values = self.draw(frame)
        fact = self.add(frame, owner, values)
        if frame.who != "we" and len(self.facts) < count and self.chance(0.4):
            people = [
                person
                for person in (*self.main, *(self.others if frame.who == "any" else ()))
                if person is not owner and (frame.group, person) not in self.by_group
            ]
            if people:
                self.add(frame, self.pick(people), self.draw(frame, [values]))
        if len(self.facts) >= count:
            return
        if frame.change and self.chance(0.45):
            changed = self.pick(tuple(frame.change))
            new = _Values(self, frame, base=values)
            new[changed] = self.draw(frame, [values])[changed]
            newer = self.add(frame, owner, new)
            newer.changed, newer.older, fact.newer = changed, fact, newer
        elif frame.key and self.chance(0.35):
            self.add(frame, owner, self.draw(frame, [values]))
        elif frame.many and self.chance(0.35):
            other = self.add(frame, owner, self.draw(frame, [values]))
            fact.sibling, other.sibling = other, fact

    def sentence(self, fact: _Fact, view: str, index: int) -> str:
        """States a fact, and records what the statement tells."""
        frame = fact.frame
        voice = self.voice(fact.owner, view)
        speaks = voice is _I or fact.owner is self.house
        forms = frame.say
        if frame.pro:
            forms = frame.pro if fact.values["polar"] == "Yes" else frame.con
        elif fact.changed and self.chance(0.75):
            forms = frame.change[fact.changed]
        seqs: Sequence[_Seq] = forms if speaks else forms.named
        plain = not frame.pro and forms is frame.say
        if plain and view != "third" and self.chance(0.25):
            seqs = ((*frame.note, *frame.free_note) if speaks else frame.note) or seqs
        must = set()
        if fact.changed:
            must.add(fact.changed)
        if fact.newer:
            must.add(fact.newer.changed)
        if fact.sibling:
            must.add(frame.many)
        facts = self.by_group[frame.group, fact.owner]
        if frame.key and len(facts) > 1:
            must.add(frame.key)
        for attempt in range(8):
            if attempt == 5:
                seqs = (frame.say if speaks else frame.say.named) or seqs
            text, used = self.render(self.pick(seqs), fact.values, voice)
            if must <= used and not (view == "you" and text.startswith(_ORDERS)):
                break
        if frame.pro:
            used |= {"polar"}
        fact.told.append((index, used, voice, self.scene.offset))
        return text

    # -- memories

    def views(self, fact: _Fact) -> str:
        """Chooses who tells a fact."""
        roll = self.random()
        if self.mode == "pair":
            if fact.owner is self.main[0]:
                return "me" if roll < 0.75 else "p1" if roll < 0.85 else "third"
            if fact.owner is self.main[1]:
                return "p1" if roll < 0.75 else "me" if roll < 0.85 else "third"
            return "me" if roll < 0.5 else "p1"
        if fact.owner is self.house:
            return "me" if roll < 0.85 else "you"
        return "me" if roll < 0.7 else "you" if roll < 0.84 else "third"

    def speaker(self, view: str) -> str:
        if self.mode == "pair":
            if view == "third":
                return "assistant"
            return self.main[1 if view == "p1" else 0].name
        if view == "me":
            return "user" if self.mode == "user" else self.me.name
        return "assistant"

    @staticmethod
    def tidy(text: str) -> str:
        return text[:1].upper() + _SENTENCE.sub(lambda m: m[1] + m[2].upper(), text[1:])

    def message(self, sentences: Sequence[str], view: str) -> str:
        """Wraps statements the way people write."""
        if len(sentences) > 1 and self.chance(0.2):
            body = "; ".join(sentence.rstrip(".") for sentence in sentences)
            return self.tidy(f"{self.pool('list_opener')} {body}.")
        body = " ".join(
            sentence if sentence[-1] in ".!?" else sentence + "." for sentence in sentences
        )
        if view == "you":
            return self.confirm(body)
        if view == "third":
            return self.tidy(body)
        if len(sentences) == 1 and sentences[0][-1] not in ".!?" and self.chance(0.8):
            return body[:-1] if self.chance(0.6) else self.tidy(body[:-1])
        return self.ramble(body)

    def confirm(self, body: str) -> str:
        """What the assistant makes of a statement."""
        if self.chance(0.75):
            body = f"{self.pool('ack')} {body}"
        if self.chance(0.3):
            body = f"{body} {self.pool('ack_after')}"
        return self.tidy(body)

    def ramble(self, body: str) -> str:
        """A statement with more or less talk around it."""
        roll = self.random()
        pool = self.pool
        if roll < 0.42:
            pass
        elif roll < 0.6:
            body = f"{pool('opener')} {body}"
        elif roll < 0.72:
            body = f"{pool('before')} {body}"
        elif roll < 0.8:
            body = f"{body} {pool('after')}"
        elif roll < 0.88:
            body = f"{pool('before')} {pool('ramble')} {body} {pool('after')}"
        elif roll < 0.94:
            body = f"{pool('ramble')} {pool('ramble')} {body} {pool('ramble')}"
        else:
            return (body[:-1] if body[-1] == "." and self.chance(0.7) else body).lower()
        return self.tidy(body)

    def sizes(self) -> int:
        roll = self.random()
        if roll < 0.4:
            return 8
        if roll < 0.85:
            return 3 + int(self.random() * 10)
        return 12 + int(self.random() * 13)

    def assemble(self) -> bool:
        """Makes the memories; says whether the exercise can go on."""
        size = self.sizes()
        self.size = size
        book, random = self.book, self.random
        topics = tuple(book.topics)
        self.focus = [self.pick(topics), self.pick(topics)]
        wanted = max(3, int(size * (0.7 + 0.45 * random())))
        for _ in range(wanted * 3):
            if len(self.facts) >= wanted:
                break
            frames = book.topics[self.pick(self.focus)] if self.chance(0.55) else book.frames
            self.invent(self.pick(frames), wanted)
        items = self.group_items(size)
        self.place(items)
        return len(items) >= 3

    def group_items(self, size: int) -> list[tuple[str, list[_Fact], str]]:
        """Spreads the facts over messages: (view, facts, other text)."""
        items: list[tuple[str, list[_Fact], str]] = []
        open_items: dict[str, list[_Fact]] = {}
        linked = [person for person in self.others if person.style == "link"]
        needed = {fact.owner for fact in self.facts}
        links = [person for person in linked if person in needed]
        room = size - len(links)
        for fact in self.facts:
            view = self.views(fact)
            alone = fact.newer or fact.older or fact.sibling
            held = open_items.get(view)
            full = len(items) >= room
            if held is not None and not alone and len(held) < 3 and (full or self.chance(0.22)):
                held.append(fact)
                continue
            if full:
                if fact.older:
                    fact.older.newer = None
                self.forget(fact)
                continue
            group = [fact]
            items.append((view, group, ""))
            if not alone:
                open_items[view] = group
            if not alone and fact.frame.who != "we" and len(items) < room and self.chance(0.05):
                items.append((self.views(fact), [fact], ""))
        for person in links:
            items.append(("link", [], ""))
            self.links[person] = len(items) - 1
        self.link_items = {at: person for person, at in self.links.items()}
        while len(items) < size:
            roll = self.random()
            if roll < 0.5:
                items.append(("chat", [], ""))
            elif roll < 0.75:
                items.append(("assistant", [], ""))
            else:
                items.append(("question", [], ""))
        return items

    def forget(self, fact: _Fact) -> None:
        self.facts.remove(fact)
        key = (fact.frame.group, fact.owner)
        self.by_group[key].remove(fact)
        if not self.by_group[key]:
            del self.by_group[key]
        if fact.newer:
            fact.newer.older, fact.newer.changed = None, ""
        if fact.sibling:
            fact.sibling.sibling = None

    def place(self, items: Sequence[tuple[str, list[_Fact], str]]) -> None:
        """Orders, dates and renders the messages."""
        order = list(range(len(items)))
        self.rng.shuffle(order)
        where = {fact: at for at, item in enumerate(order) for fact in items[item][1]}
        for fact in self.facts:
            if fact in where and fact.older in where and where[fact] < where[fact.older]:
                first, second = where[fact], where[fact.older]
                order[first], order[second] = order[second], order[first]
                where[fact], where[fact.older] = second, first
        moves = any(fact.older for fact in self.facts)
        pace = self.pick((2, 6, 15, 40))
        day = date(2023, 1, 1).toordinal() + int(self.random() * 1300)
        self.days: list[int] = []
        lines: list[tuple[str, str]] = []
        waiting: list[int] = []
        for at, item in enumerate(order):
            day += int(self.random() * pace) + (1 if moves else 0)
            self.days.append(day)
            view, facts, _ = items[item]
            if item in self.link_items:
                person = self.link_items[item]
                self.links[person] = at
                lines.append(self.link_line(person))
            elif view == "chat":
                who = self.speaker(self.pick(("me", "p1")) if self.mode == "pair" else "me")
                lines.append((who, self.tidy(self.pool("chat"))))
            elif view == "assistant":
                if self.mode == "pair":
                    who = self.speaker(self.pick(("me", "p1")))
                    lines.append((who, self.tidy(self.pool("chat"))))
                else:
                    lines.append(("assistant", self.tidy(self.pool("assistant_chat"))))
            elif view == "question":
                waiting.append(at)
                lines.append((self.speaker("me"), ""))
            else:
                sentences = [self.sentence(fact, view, at) for fact in facts]
                lines.append((self.speaker(view), self.message(sentences, view)))
        self.lines = lines
        self.waiting = waiting

    def link_line(self, person: _Person) -> tuple[str, str]:
        """A memory that tells whose relation someone is."""
        assert person.of is not None
        view = "p1" if person.of is not self.me else "me"
        text = self.pool("link")
        text = text.replace("NAME", person.name).replace("RELATION", person.relation)
        she = "she" if person.gender == "f" else "he"
        return self.speaker(view), self.tidy(text.replace("PRONOUN", she))

    # -- questions

    def write_question(self, text: str) -> str:
        """A question as people type it, more or less carefully."""
        roll = self.random()
        if roll < 0.12:
            text = f"{self.pool('question_opener')} {text}"
            return text[:1].upper() + text[1:] if self.chance(0.7) else text
        if roll < 0.22:
            return text.rstrip("?").lower()
        if roll < 0.3:
            return _APOSTROPHE.sub(r"\1\2", text.rstrip("?").lower())
        if roll < 0.42:
            return text.lower()
        return text[:1].upper() + text[1:]

    def question(
        self,
        seqs: Sequence[_Seq],
        values: Mapping[str, str],
        owner: _Person,
        allowed: Iterable[str] | None,
        must: Iterable[str] = (),
    ) -> tuple[str, frozenset[str]] | None:
        """Renders a question that names only what it may, and what it must."""
        voice = self.voice(owner, "ask")
        allowed = None if allowed is None else frozenset(allowed)
        must = frozenset(must)
        for _ in range(8):
            text, used = self.render(self.pick(seqs), values, voice)
            if must <= used and (allowed is None or used <= allowed):
                return text, used
        return None

    def record(
        self,
        text: str,
        answer: str | None,
        evidence: Iterable[int],
        trace: Trace,
    ) -> None:
        self.questions.append((self.write_question(text), answer, tuple(sorted(set(evidence)))))
        self.traces.append(trace)

    def label(self, person: _Person) -> str:
        return "house" if person is self.house else person.name

    def evidence(self, fact: _Fact, attribute: str, named: Iterable[str]) -> list[_Telling]:
        """The memories that tell an attribute and all that the question names."""
        need = {attribute, *named}
        return [told for told in fact.told if need <= told[1]]

    def bridge(self, owner: _Person) -> list[int]:
        """The memory that tells who a name is, where the question goes by relation."""
        if owner.style == "link" and self.voice(owner, "ask").words["I"] != owner.name:
            return [self.links[owner]]
        return []

    def span(self, fact: _Fact, attribute: str, told: _Telling) -> str:
        """The answer as the memory words it."""
        index, _, voice, offset = told
        if attribute == "day":
            return _spoken_date(self.days[index] - offset)
        value = fact.values[attribute]
        if attribute == "polar":
            return value
        text = self.lines[index][1]
        if "$" in value:
            raw, value = value, voice.fill(value, again=False)
            if value.lower() not in text.lower():
                value = voice.fill(raw, again=True)
        at = text.find(value)
        if at < 0:
            at = text.lower().find(value.lower())
            if at < 0:
                raise DataError(f"[{fact.frame.name}] {value!r} is not in {text!r}")
        return text[at : at + len(value)]

    def aim(self, fact: _Fact) -> tuple[str, str]:
        """What to ask about a fact, and the kind of question; "" where there is nothing."""
        frame = fact.frame
        if fact.newer:
            attribute = fact.newer.changed
            return (attribute, "past") if attribute in frame.past else ("", "")
        if fact.older:
            return fact.changed, "newest"
        if fact.sibling:
            return (frame.many, "both") if frame.many in frame.ask else ("", "")
        told = fact.attributes()
        several = frame.key and len(self.by_group[frame.group, fact.owner]) > 1
        choices = [
            name for name in frame.ask if name in told and not (several and name == frame.key)
        ]
        return (self.pick(choices), "known") if choices else ("", "")

    def ask_known(self) -> bool:
        """Asks for something a memory tells."""
        fact = self.pick(self.facts)
        frame, owner = fact.frame, fact.owner
        told = fact.attributes()
        attribute, kind = self.aim(fact)
        mark = (frame.name, attribute + kind, owner, fact.values.get(frame.key, ""))
        if attribute not in told or mark in self.asked:
            return False
        must: set[str] = set()
        if kind == "known" and frame.key and len(self.by_group[frame.group, owner]) > 1:
            must.add(frame.key)
        closed = kind in ("known", "newest") and self.chance(0.5)
        if closed and self.ask_polar(fact, attribute, must):
            self.asked.add(mark)
            return True
        seqs = (frame.past if kind == "past" else frame.ask)[attribute]
        allowed = set() if kind == "both" else told - {attribute}
        made = self.question(seqs, fact.values, owner, allowed, must)
        if made is None:
            return False
        text, used = made
        found = self.evidence(fact, attribute, used)
        if not found:
            return False
        answer = self.span(fact, attribute, found[0])
        evidence = [item[0] for item in found]
        if fact.sibling:
            other = self.evidence(fact.sibling, attribute, ())
            if not other:
                return False
            evidence += [item[0] for item in other]
            answer = f"{answer} and {self.span(fact.sibling, attribute, other[0])}"
        self.asked.add(mark)
        named = tuple((name, fact.values[name]) for name in sorted(used))
        trace = Trace(frame.name, attribute, self.label(owner), named, kind)
        self.record(text, answer, evidence + self.bridge(owner), trace)
        return True

    def ask_polar(self, fact: _Fact, attribute: str, must: Iterable[str]) -> bool:
        """Asks whether an attribute has a given value."""
        frame, owner = fact.frame, fact.owner
        exclusive = attribute in frame.check
        table = frame.check if exclusive else frame.yes
        if attribute not in table:
            return False
        values = _Values(self, frame, base=fact.values)
        facts = self.by_group[frame.group, owner]
        right = self.chance(0.5)
        if not right:
            if exclusive and fact.older and self.chance(0.6):
                values[attribute] = fact.older.values[attribute]
            else:
                values[attribute] = self.draw(frame, [item.values for item in facts])[attribute]
        allowed = fact.attributes()
        made = self.question(table[attribute], values, owner, allowed, {attribute, *must})
        if made is None:
            return False
        text, used = made
        found = self.evidence(fact, attribute, used)
        if not found:
            return False
        answer = "Yes" if right else "No" if exclusive else None
        evidence = [item[0] for item in found] + self.bridge(owner) if answer else []
        named = tuple((name, values[name]) for name in sorted(used))
        trace = Trace(frame.name, attribute, self.label(owner), named, "polar")
        self.record(text, answer, evidence, trace)
        return True

    def ask_unknown(self) -> bool:
        """Asks for something no memory tells, most often with a near miss among them."""
        roll = self.random()
        fact = self.pick(self.facts)
        if roll < 0.3:
            miss = self.miss_person(fact)
        elif roll < 0.55:
            miss = self.miss_attribute(fact)
        elif roll < 0.7:
            miss = self.miss_key(fact)
        else:
            miss = self.miss_frame()
        if miss is None or not miss.attributes:
            return False
        frame, owner, values = miss.frame, miss.owner, miss.values
        attribute = self.pick(miss.attributes)
        table = frame.ask
        if miss.kind in ("absent", "other person") and self.chance(0.12):
            table = frame.check if attribute in frame.check else frame.yes
        mark = (frame.name, attribute + miss.kind, owner, values.get(frame.key, ""))
        if mark in self.asked or attribute not in table:
            return False
        allowed = None if miss.allowed is None else miss.allowed - {attribute}
        made = self.question(table[attribute], values, owner, allowed, miss.must)
        if made is None:
            return False
        self.asked.add(mark)
        text, used = made
        named = tuple((name, values[name]) for name in sorted(used))
        trace = Trace(frame.name, attribute, self.label(owner), named, miss.kind)
        self.record(text, None, (), trace)
        return True

    def stated(self, frame: _Frame, owner: _Person) -> bool:
        """Whether a fact like this is told of someone, or the person cannot be asked about."""
        if (frame.group, owner) in self.by_group:
            return True
        return owner.style == "link" and owner not in self.links

    def miss_person(self, fact: _Fact) -> _Miss | None:
        """The same question about someone of whom nothing like it is told."""
        frame, values = fact.frame, fact.values
        if frame.who == "we":
            return None
        people = [*self.main, *(self.others if frame.who == "any" else ())]
        if frame.who == "any" and self.chance(0.2):
            gender = self.pick("fm")
            people = [_Person(self.new_name(gender), gender)]
        people = [item for item in people if not self.stated(frame, item)]
        if not people:
            return None
        if self.chance(0.5):
            values = self.draw(frame, [values])
        return _Miss("other person", frame, self.pick(people), values, tuple(frame.ask))

    def miss_attribute(self, fact: _Fact) -> _Miss | None:
        """Another attribute of a fact than those told."""
        frame, owner = fact.frame, fact.owner
        if fact.newer or fact.older or fact.sibling or frame.pro:
            return None
        told = fact.attributes()
        attributes = tuple(name for name in frame.ask if name not in told)
        several = len(self.by_group[frame.group, owner]) > 1
        must = frozenset({frame.key}) if several else frozenset()
        return _Miss("other attribute", frame, owner, fact.values, attributes, told, must)

    def miss_key(self, fact: _Fact) -> _Miss | None:
        """The same question about another thing: the train to another town."""
        frame, owner = fact.frame, fact.owner
        if not frame.key or fact.newer or fact.older:
            return None
        facts = self.by_group[frame.group, owner]
        if any(item.frame is not frame for item in facts):
            return None
        if any(frame.key not in told[1] for item in facts for told in item.told):
            return None
        values = self.draw(frame, [item.values for item in facts])
        attributes = tuple(name for name in frame.ask if name != frame.key)
        key = {frame.key}
        return _Miss("other key", frame, owner, values, attributes, key, frozenset(key))

    def miss_frame(self) -> _Miss | None:
        """A question about something never mentioned."""
        topic = self.book.topics[self.pick(self.focus)]
        frame = self.pick(topic if self.chance(0.6) else self.book.frames)
        owner = self.owner(frame)
        if self.stated(frame, owner):
            return None
        return _Miss("absent", frame, owner, self.draw(frame), tuple(frame.ask))

    def fill_questions(self) -> None:
        """Writes the memories that are themselves questions and answer nothing."""
        for at in self.waiting:
            text = ""
            if self.questions and self.chance(0.4):
                index = int(self.random() * len(self.questions))
                if self.traces[index].kind in ("absent", "other attribute", "known"):
                    text = self.same_question(self.traces[index])
            if not text:
                text = self.free_question()
            self.lines[at] = (self.lines[at][0], text or self.tidy(self.pool("chat")))

    def same_question(self, trace: Trace) -> str:
        """The question of a trace, as the main person would put it, without its values."""
        frame = next(frame for frame in self.book.frames if frame.name == trace.frame)
        if trace.owner == "house":
            owner = self.house
        elif trace.owner == self.me.name:
            owner = self.me
        else:
            return ""
        return self.bare_question(frame, trace.attribute, owner)

    def free_question(self) -> str:
        frame = self.pick(self.book.frames)
        owner = self.house if frame.who == "we" else self.me
        return self.bare_question(frame, self.pick(tuple(frame.ask)), owner)

    def bare_question(self, frame: _Frame, attribute: str, owner: _Person) -> str:
        voice = self.voice(owner, "me")
        for _ in range(3):
            seq = self.pick(frame.ask[attribute])
            if _names(seq):
                continue
            text, _ = self.render(seq, {}, voice)
            return self.write_question(text)
        return ""

    def build(self) -> tuple[Exercise, tuple[Trace, ...], tuple[Told, ...]] | None:
        """Makes the exercise, or None where the draw did not give enough questions."""
        if not self.assemble() or not self.facts:
            return None
        wanted = 4 + int(self.random() * 5)
        for _ in range(wanted * 6):
            if len(self.questions) >= wanted:
                break
            if self.chance(0.29):
                self.ask_unknown()
            else:
                self.ask_known()
        if len(self.questions) < 4:
            return None
        self.fill_questions()
        return self.finish()

    def finish(self) -> tuple[Exercise, tuple[Trace, ...], tuple[Told, ...]]:
        count = len(self.lines)
        order = list(range(count))
        if self.chance(0.2):
            self.rng.shuffle(order)
        new = {old: at for at, old in enumerate(order)}
        memories = tuple(MemoryLine(_iso_date(self.days[old]), *self.lines[old]) for old in order)
        questions = tuple(
            (text, answer, tuple(sorted(new[item] for item in evidence)))
            for text, answer, evidence in self.questions
        )
        told = (
            ()
            if not self.tracing
            else tuple(
                Told(
                    new[index],
                    fact.frame.name,
                    self.label(fact.owner),
                    tuple((name, fact.values.get(name, "")) for name in sorted(used)),
                )
                for fact in self.facts
                for index, used, _, _ in fact.told
            )
        )
        return Exercise(memories, questions), tuple(self.traces), told


def _stream(
    seed: int, tracing: bool
) -> Iterator[tuple[Exercise, tuple[Trace, ...], tuple[Told, ...]]]:
    book = _book()
    rng = Random(seed)
    while True:
        made = _Builder(rng, book, tracing).build()
        if made is not None:
            yield made


def traced(seed: int) -> Iterator[tuple[Exercise, tuple[Trace, ...], tuple[Told, ...]]]:
    """The exercises of a seed with what their questions and memories are made from."""
    return _stream(seed, tracing=True)


def exercises(seed: int) -> Iterator[Exercise]:
    """Endless exercises, the same for the same seed.

    Args:
        seed: The seed of the stream.

    Yields:
        One exercise after the other.

    Raises:
        DataError: A data file breaks a rule.
    """
    for exercise, _, _ in _stream(seed, tracing=False):
        yield exercise


def inventory() -> dict[str, int]:
    """Counts of what the data files hold: frames, slots, forms."""
    book = _book()
    frames = book.frames
    return {
        "frames": len(frames),
        "slots": sum(len(frame.ask) for frame in frames),
        "statement forms": sum(
            len(frame.say) + len(frame.note) + len(frame.free_note) + len(frame.pro)
            + len(frame.con) + sum(map(len, frame.change.values()))
            for frame in frames
        ),
        "question forms": sum(
            len(seqs)
            for frame in frames
            for table in (frame.ask, frame.yes, frame.check, frame.past)
            for seqs in table.values()
        ),
        "pool entries": sum(len(pool.entries) for pool in book.pools.values()),
    }  # fmt: skip
