"""Questions that no memory answers, most of them near misses."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.training.reader.personal.facts import Fact, Values
from agentmem.training.reader.personal.frames import Frame
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.questions import AnswerableQuestions
from agentmem.training.reader.personal.records import Trace


@dataclass(frozen=True)
class Unanswerable:
    """An unanswerable question: what it asks for, and what it may and must name."""

    kind: str
    frame: Frame
    owner: Person
    values: Values
    attributes: tuple[str, ...]
    allowed: set[str] | None = None
    must: frozenset[str] = frozenset()


class UnanswerableQuestions(AnswerableQuestions):
    """Writes questions that no memory answers."""

    def ask_unanswerable(self) -> bool:
        """Add a question that no memory answers, usually close to one that some memory does."""
        roll = self.random()
        fact = self.pick(self.facts)
        if roll < 0.3:
            question = self.with_other_person(fact)
        elif roll < 0.55:
            question = self.with_other_attribute(fact)
        elif roll < 0.7:
            question = self.with_other_key(fact)
        else:
            question = self.with_other_frame()
        if question is None or not question.attributes:
            return False
        frame, owner, values = question.frame, question.owner, question.values
        attribute = self.pick(question.attributes)
        table = frame.ask
        if question.kind in ("absent", "other person") and self.chance(0.12):
            table = frame.check if attribute in frame.check else frame.yes
        mark = (frame.name, attribute + question.kind, owner, values.get(frame.key, ""))
        if mark in self.asked or attribute not in table:
            return False
        allowed = None if question.allowed is None else question.allowed - {attribute}
        made = self.question(table[attribute], values, owner, allowed, question.must)
        if made is None:
            return False
        self.asked.add(mark)
        text, used = made
        named = tuple((name, values[name]) for name in sorted(used))
        trace = Trace(frame.name, attribute, self.label(owner), named, question.kind)
        self.record(text, None, (), trace)
        return True

    def stated(self, frame: Frame, owner: Person) -> bool:
        """Whether such a fact is stated of someone, or the person cannot be asked about."""
        if (frame.group, owner) in self.by_group:
            return True
        return owner.style == "link" and owner not in self.links

    def with_other_person(self, fact: Fact) -> Unanswerable | None:
        """The same question about someone of whom no such fact is stated."""
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
        return Unanswerable("other person", frame, self.pick(people), values, tuple(frame.ask))

    def with_other_attribute(self, fact: Fact) -> Unanswerable | None:
        """A question for an attribute of a fact that no memory states."""
        frame, owner = fact.frame, fact.owner
        if fact.newer or fact.older or fact.sibling or frame.pro:
            return None
        stated = fact.attributes()
        attributes = tuple(name for name in frame.ask if name not in stated)
        several = len(self.by_group[frame.group, owner]) > 1
        must = frozenset({frame.key}) if several else frozenset()
        return Unanswerable("other attribute", frame, owner, fact.values, attributes, stated, must)

    def with_other_key(self, fact: Fact) -> Unanswerable | None:
        """The same question about another key: the train to another town."""
        frame, owner = fact.frame, fact.owner
        if not frame.key or fact.newer or fact.older:
            return None
        facts = self.by_group[frame.group, owner]
        if any(item.frame is not frame for item in facts):
            return None
        if any(frame.key not in mention[1] for item in facts for mention in item.mentions):
            return None
        values = self.draw(frame, [item.values for item in facts])
        attributes = tuple(name for name in frame.ask if name != frame.key)
        key = {frame.key}
        return Unanswerable("other key", frame, owner, values, attributes, key, frozenset(key))

    def with_other_frame(self) -> Unanswerable | None:
        """A question about something that no memory mentions."""
        topic = self.library.topics[self.pick(self.focus)]
        frame = self.pick(topic if self.chance(0.6) else self.library.frames)
        owner = self.owner(frame)
        if self.stated(frame, owner):
            return None
        return Unanswerable("absent", frame, owner, self.draw(frame), tuple(frame.ask))
