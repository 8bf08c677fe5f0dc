"""Questions that no memory answers, most of them near misses."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.training.reader.personal.facts import Fact, Values
from agentmem.training.reader.personal.frames import Frame
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.questions import Questions
from agentmem.training.reader.personal.records import Trace


@dataclass(frozen=True)
class Miss:
    """A question that no memory answers: what it asks, and what it may and must name."""

    kind: str
    frame: Frame
    owner: Person
    values: Values
    attributes: tuple[str, ...]
    allowed: set[str] | None = None
    must: frozenset[str] = frozenset()


class Misses(Questions):
    """Ask for what is not told."""

    def ask_unknown(self) -> bool:
        """Ask for something no memory tells, most often with a near miss among them."""
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

    def stated(self, frame: Frame, owner: Person) -> bool:
        """Whether a fact like this is told of someone, or the person cannot be asked about."""
        if (frame.group, owner) in self.by_group:
            return True
        return owner.style == "link" and owner not in self.links

    def miss_person(self, fact: Fact) -> Miss | None:
        """The same question about someone of whom nothing like it is told."""
        frame, values = fact.frame, fact.values
        if frame.who == "we":
            return None
        people = [*self.main, *(self.others if frame.who == "any" else ())]
        if frame.who == "any" and self.chance(0.2):
            gender = self.pick("fm")
            people = [Person(self.new_name(gender), gender)]
        people = [item for item in people if not self.stated(frame, item)]
        if not people:
            return None
        if self.chance(0.5):
            values = self.draw(frame, [values])
        return Miss("other person", frame, self.pick(people), values, tuple(frame.ask))

    def miss_attribute(self, fact: Fact) -> Miss | None:
        """Another attribute of a fact than those told."""
        frame, owner = fact.frame, fact.owner
        if fact.newer or fact.older or fact.sibling or frame.pro:
            return None
        told = fact.attributes()
        attributes = tuple(name for name in frame.ask if name not in told)
        several = len(self.by_group[frame.group, owner]) > 1
        must = frozenset({frame.key}) if several else frozenset()
        return Miss("other attribute", frame, owner, fact.values, attributes, told, must)

    def miss_key(self, fact: Fact) -> Miss | None:
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
        return Miss("other key", frame, owner, values, attributes, key, frozenset(key))

    def miss_frame(self) -> Miss | None:
        """A question about something never mentioned."""
        topic = self.book.topics[self.pick(self.focus)]
        frame = self.pick(topic if self.chance(0.6) else self.book.frames)
        owner = self.owner(frame)
        if self.stated(frame, owner):
            return None
        return Miss("absent", frame, owner, self.draw(frame), tuple(frame.ask))
