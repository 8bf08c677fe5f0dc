"""The facts of an exercise, and near misses among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from agentmem.training.reader.personal.frames import Frame
from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.nodes import put
from agentmem.training.reader.personal.people import People, Person
from agentmem.training.reader.personal.rendering import ARTICLE, add_n
from agentmem.training.reader.personal.voices import Voice

# How a memory mentions a fact: its index, the attributes, the voice, how many days ago it was.
Mention = tuple[int, frozenset[str], "Voice", int]


class Values(dict[str, str]):
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
        builder: Facts,
        frame: Frame,
        avoid: Sequence[Values] = (),
        base: Values | None = None,
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
class Fact:
    """A fact of an exercise, and where memories mention it."""

    frame: Frame
    owner: Person
    values: Values
    changed: str = ""
    older: Fact | None = None
    newer: Fact | None = None
    sibling: Fact | None = None
    mentions: list[Mention] = field(default_factory=list)

    def attributes(self) -> set[str]:
        """The attributes that any memory states."""
        return {name for _, used, _, _ in self.mentions for name in used}


class Facts(People):
    """Invents facts."""

    def __init__(self, rng: Random, library: Library) -> None:
        super().__init__(rng, library)
        self.facts: list[Fact] = []
        self.by_group: dict[tuple[str, Person], list[Fact]] = {}

    def draw(self, frame: Frame, avoid: Sequence[Values] = ()) -> Values:
        """Values for a frame that differ from each other and from those in ``avoid``."""
        values = Values(self, frame, avoid)
        if frame.pro:
            values["polar"] = "Yes" if self.chance(0.5) else "No"
        return values

    def draw_value(self, frame: Frame, name: str, values: Values) -> str:
        """Draw one value that is new to the fact and is not the name of a person."""
        seq, scene = frame.vars[name], self.draw_scene
        used = values.values()
        others = [other[name] for other in values.avoid]
        value = ""
        for _ in range(12):
            out: list[str] = []
            put(seq, out, scene)
            value = "".join(out)
            if "a_ " in value:
                value = ARTICLE.sub(add_n, value)
            if value in used or value in others:
                continue
            if self.used_names.isdisjoint(value.split()):
                break
        return value

    def owner(self, frame: Frame) -> Person:
        """Draw the person that a fact of a frame is about."""
        if frame.who == "we":
            return self.house
        if frame.who == "me" or self.chance(0.62) or not self.others:
            return self.pick(self.main)
        return self.pick(self.others)

    def add(self, frame: Frame, owner: Person, values: Values) -> Fact:
        """Add a fact."""
        fact = Fact(frame, owner, values)
        self.facts.append(fact)
        self.by_group.setdefault((frame.group, owner), []).append(fact)
        return fact

    def invent(self, frame: Frame, count: int) -> None:
        """Add a fact of a frame and, often, near misses of it."""
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
            new = Values(self, frame, base=values)
            new[changed] = self.draw(frame, [values])[changed]
            newer = self.add(frame, owner, new)
            newer.changed, newer.older, fact.newer = changed, fact, newer
        elif frame.key and self.chance(0.35):
            self.add(frame, owner, self.draw(frame, [values]))
        elif frame.many and self.chance(0.35):
            other = self.add(frame, owner, self.draw(frame, [values]))
            fact.sibling, other.sibling = other, fact

    def forget(self, fact: Fact) -> None:
        """Remove a fact for which there is no room."""
        self.facts.remove(fact)
        key = (fact.frame.group, fact.owner)
        self.by_group[key].remove(fact)
        if not self.by_group[key]:
            del self.by_group[key]
        if fact.newer:
            fact.newer.older, fact.newer.changed = None, ""
        if fact.sibling:
            fact.sibling.sibling = None
