"""The people of an exercise, and how each is spoken of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.rendering import Renderer
from agentmem.training.reader.personal.voices import (
    HOUSEHOLD,
    LISTENER,
    SPEAKER,
    Voice,
    third_person,
)

_ADULTS: Final = (
    ("sister", "f"), ("brother", "m"), ("cousin", "fm"), ("mum", "f"), ("dad", "m"),
    ("aunt", "f"), ("uncle", "m"), ("classmate", "fm"), ("coworker", "fm"), ("flatmate", "fm"),
    ("neighbour", "fm"), ("colleague", "fm"), ("sister-in-law", "f"), ("brother-in-law", "m"),
    ("grandmother", "f"), ("grandfather", "m"), ("niece", "f"), ("nephew", "m"), ("ex", "fm"),
    ("godmother", "f"), ("stepfather", "m"), ("pen pal", "fm"), ("great-aunt", "f"),
    ("godson", "m"), ("goddaughter", "f"), ("carpool buddy", "fm"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """Someone whom facts are about.

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
    of: Person | None = None
    style: str = "name"


class People(Renderer):
    """Draws the main people and those they know."""

    def __init__(self, rng: Random, library: Library) -> None:
        super().__init__(rng, library)
        self.voices: dict[tuple[str, Person], Voice] = {}
        self.cast()

    def new_name(self, gender: str) -> str:
        """A name that is not in use yet."""
        while (name := self.pick(self.library.names[gender])) in self.used_names:
            pass
        self.used_names.add(name)
        return name

    def cast(self) -> None:
        """Draw the people and the kind of memory store."""
        self.used_names: set[str] = set()
        roll = self.random()
        self.mode = "user" if roll < 0.5 else "named" if roll < 0.67 else "pair"
        self.noted = self.pick(("the user", "the user", "User"))
        gender = self.pick("fm")
        self.me = Person(self.new_name(gender), gender)
        self.main = [self.me]
        if self.mode == "pair":
            gender = self.pick("fm")
            self.main.append(Person(self.new_name(gender), gender))
        both = " and ".join(person.name for person in self.main)
        self.house = Person(both, "p")
        self.asker = self.me if self.mode == "user" or (
            self.mode == "named" and self.chance(0.6)
        ) else None  # fmt: skip
        self.others: list[Person] = []
        relations: set[str] = set()
        for _ in range(1 + int(self.random() * 3)):
            if self.chance(0.3):
                gender = self.pick("fm")
                self.others.append(Person(self.new_name(gender), gender))
                continue
            relation, genders = self.pick(_ADULTS)
            if relation in relations:
                continue
            relations.add(relation)
            gender = self.pick(genders)
            style = self.pick(("rel", "rel", "both", "link"))
            self.others.append(
                Person(self.new_name(gender), gender, relation, self.pick(self.main), style)
            )

    def possessor(self, person: Person, view: str) -> str:
        """How a view says whose: "my", "Ana's"."""
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

    def voice(self, person: Person, view: str) -> Voice:
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

    def _voice(self, person: Person, view: str) -> Voice:
        if person is self.house:
            if view == "you":
                return LISTENER
            return (
                third_person(person.name, "p")
                if view == "ask" and self.mode == "pair"
                else HOUSEHOLD
            )
        if person is self.me and view in ("me", "my"):
            return SPEAKER
        if person is self.me and view == "you":
            return LISTENER
        if view == "p1" and len(self.main) > 1 and person is self.main[1]:
            return SPEAKER
        if person is self.me and self.mode == "user":
            return third_person(self.noted, person.gender)
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
        return third_person(name, person.gender)
