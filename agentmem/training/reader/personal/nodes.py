"""The parts of a compiled template, and what they are rendered with."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.voices import Voice

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


class Scene:
    """What a template is rendered with, and what the rendering used."""

    __slots__ = ("mentioned", "offset", "random", "used", "values", "voice")

    def __init__(self, random: Callable[[], float]) -> None:
        self.random = random
        self.values: Mapping[str, str] = {}
        self.voice: Voice | None = None
        self.used: set[str] = set()
        self.offset = 0
        self.mentioned = False


class Node(ABC):
    """A part of a template that is more than text."""

    __slots__ = ()

    @abstractmethod
    def put(self, out: list[str], scene: Scene) -> None:
        """Append a text of this part to `out`."""

    def names(self) -> set[str]:
        """The variables this part may use."""
        return set()

    def owned(self) -> bool:
        """Whether this part names the owner."""
        return False


Seq = tuple[str | Node, ...]


class Forms(tuple[Seq, ...]):
    """Alternative templates, and those of them that always name the owner."""

    named: tuple[Seq, ...]


def put(seq: Seq, out: list[str], scene: Scene) -> None:
    """Append a rendering of a template to `out`."""
    for part in seq:
        if part.__class__ is str:
            out.append(part)
        else:
            part.put(out, scene)  # type: ignore[union-attr]


def plain(seq: Seq) -> str | Seq:
    """The text itself where a template is nothing else."""
    if len(seq) == 1 and isinstance(seq[0], str):
        return seq[0]
    return seq


def names_in(seq: Seq) -> set[str]:
    """The variables that a template may use."""
    return {name for part in seq if isinstance(part, Node) for name in part.names()}


def names_owner(seq: Seq) -> bool:
    """Whether a template may name the owner."""
    return any(part.owned() for part in seq if isinstance(part, Node))


def forms_of(seqs: Iterable[Seq]) -> Forms:
    """Templates as alternatives."""
    forms = Forms(seqs)
    forms.named = tuple(seq for seq in forms if _first_mention(seq))
    return forms


def _first_mention(seq: Seq) -> bool:
    """Whether a template always names the owner in full, not only by a pronoun."""
    return any(
        (isinstance(part, Owner) and part.macro not in ("she", "her", "him", "myself"))
        or (
            isinstance(part, Alternatives)
            and all(_first_mention(option) for option in part.options)
        )
        for part in seq
    )


class Alternatives(Node):
    """One of several templates, each as likely."""

    __slots__ = ("options", "plain")

    def __init__(self, options: Sequence[Seq]) -> None:
        self.options = options
        self.plain = [plain(option) for option in options]

    def put(self, out: list[str], scene: Scene) -> None:
        """Append one of the templates."""
        option = self.plain[int(scene.random() * len(self.plain))]
        if option.__class__ is str:
            out.append(option)
        else:
            put(option, out, scene)  # type: ignore[arg-type]

    def names(self) -> set[str]:
        """The variables among it."""
        return {name for option in self.options for name in names_in(option)}

    def owned(self) -> bool:
        """Whether it names the owner."""
        return any(names_owner(option) for option in self.options)


class Variable(Node):
    """The value of a variable of the frame."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, out: list[str], scene: Scene) -> None:
        """Append the value."""
        value = scene.values[self.name]
        scene.used.add(self.name)
        if "$" in value and scene.voice is not None:
            value = scene.voice.fill(value, scene.mentioned)
            scene.mentioned = True
        out.append(value)

    def names(self) -> set[str]:
        """The variables among it."""
        return {self.name}


class Day(Node):
    """A word for a day shortly before the memory was written."""

    __slots__ = ()

    def put(self, out: list[str], scene: Scene) -> None:
        """Append a day, and note how long ago it was."""
        word, scene.offset = _DAYS[int(scene.random() * len(_DAYS))]
        scene.used.add("day")
        out.append(word)

    def names(self) -> set[str]:
        """The variables among it."""
        return {"day"}


class Pool(Node):
    """An entry of a pool."""

    __slots__ = ("entries", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: list[str | Seq] = []

    def put(self, out: list[str], scene: Scene) -> None:
        """Append an entry."""
        entry = self.entries[int(scene.random() * len(self.entries))]
        if entry.__class__ is str:
            out.append(entry)
        else:
            put(entry, out, scene)  # type: ignore[arg-type]


class Number(Node):
    """A whole number of a range."""

    __slots__ = ("count", "low", "step", "width")

    def __init__(self, spec: str) -> None:
        match = re.fullmatch(r"#(\d+)-(\d+)(?::(\d+))?", spec)
        if match is None:
            raise DataError(f"<{spec}> is not a range like <#1-40>")
        self.low, self.step = int(match[1]), int(match[3] or 1)
        self.count = (int(match[2]) - self.low) // self.step + 1
        self.width = len(match[1]) if match[1].startswith("0") and len(match[1]) > 1 else 1

    def put(self, out: list[str], scene: Scene) -> None:
        """Append a number."""
        out.append(str(self.low + self.step * int(scene.random() * self.count)).zfill(self.width))


class Coined(Node):
    """A made-up word, which no reader can guess."""

    __slots__ = ("capital",)
    starts: Final = "B Br C D Dr F G H J K Kr L M N P Pr Qu R S Sk St T Tr V W Y Z".split()
    middles: Final = "a e i o u a e o ai ea io".split()
    links: Final = "b d g k l lm ll m n nd nt r rk rl rr s ss st t v x z lv mb".split()
    ends: Final = "a o e en is or ix al una ello ette ara ium ian eth ock in et".split()

    def __init__(self, capital: bool) -> None:
        self.capital = capital

    def put(self, out: list[str], scene: Scene) -> None:
        """Append a word."""
        random = scene.random
        word = self.starts[int(random() * len(self.starts))]
        for _ in range(1 if random() < 0.6 else 2):
            word += self.middles[int(random() * len(self.middles))]
            word += self.links[int(random() * len(self.links))]
        word += self.ends[int(random() * len(self.ends))]
        out.append(word if self.capital else word.lower())


class Owner(Node):
    """The owner of the fact, as the speaker would say."""

    __slots__ = ("macro",)

    def __init__(self, macro: str) -> None:
        self.macro = macro

    def put(self, out: list[str], scene: Scene) -> None:
        """Append a name or pronoun."""
        voice = scene.voice
        if voice is None:
            out.append("$" + self.macro)
        elif scene.mentioned and scene.random() < 0.8:
            out.append(voice.again[self.macro])
        else:
            out.append(voice.words[self.macro])
            scene.mentioned = True

    def owned(self) -> bool:
        """Whether it names the owner."""
        return True


class Verb(Node):
    """A verb that agrees with the owner."""

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

    def put(self, out: list[str], scene: Scene) -> None:
        """Append the form that agrees.

        Raises:
            DataError: no owner is known here.
        """
        if scene.voice is None:
            raise DataError(f"@{self.forms[0]} stands where no owner is known")
        out.append(self.forms[scene.voice.form])

    def owned(self) -> bool:
        """Whether it names the owner."""
        return True
