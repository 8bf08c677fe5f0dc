"""Questions that a memory answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from random import Random
from typing import Final

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.facts import Fact, Mention, Values
from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.memories import Memories
from agentmem.training.reader.personal.nodes import Seq
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.records import Trace

_MONTHS: Final = (
    "January February March April May June July August September October November December"
).split()
_APOSTROPHE: Final = re.compile(
    r"\b(what|when|who|where|how|i|it|that|don|doesn|can|didn)'(s|m|ve|d|t)\b"
)


def _spoken_date(ordinal: int) -> str:
    day = date.fromordinal(ordinal)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


class AnswerableQuestions(Memories):
    """Writes questions that some memory answers."""

    def __init__(self, rng: Random, library: Library) -> None:
        super().__init__(rng, library)
        self.questions: list[tuple[str, str | None, tuple[int, ...]]] = []
        self.traces: list[Trace] = []
        self.asked: set[tuple[str, str, Person, str]] = set()

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
        seqs: Sequence[Seq],
        values: Mapping[str, str],
        owner: Person,
        allowed: Iterable[str] | None,
        must: Iterable[str] = (),
    ) -> tuple[str, frozenset[str]] | None:
        """Render a question that names only what it may, and what it must."""
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
        """Add a question with its answer."""
        self.questions.append((self.write_question(text), answer, tuple(sorted(set(evidence)))))
        self.traces.append(trace)

    def label(self, person: Person) -> str:
        """A person's name in a trace."""
        return "house" if person is self.house else person.name

    def evidence(self, fact: Fact, attribute: str, named: Iterable[str]) -> list[Mention]:
        """The mentions that state an attribute and everything that the question names."""
        need = {attribute, *named}
        return [mention for mention in fact.mentions if need <= mention[1]]

    def bridge(self, owner: Person) -> list[int]:
        """The memory that says who a name is, if the question uses the relation instead."""
        if owner.style == "link" and self.voice(owner, "ask").words["I"] != owner.name:
            return [self.links[owner]]
        return []

    def span(self, fact: Fact, attribute: str, mention: Mention) -> str:
        """The answer in the memory's own words."""
        index, _, voice, offset = mention
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

    def aim(self, fact: Fact) -> tuple[str, str]:
        """The attribute to ask for, and the kind of question; "" if there is nothing to ask."""
        frame = fact.frame
        if fact.newer:
            attribute = fact.newer.changed
            return (attribute, "past") if attribute in frame.past else ("", "")
        if fact.older:
            return fact.changed, "newest"
        if fact.sibling:
            return (frame.many, "both") if frame.many in frame.ask else ("", "")
        stated = fact.attributes()
        several = frame.key and len(self.by_group[frame.group, fact.owner]) > 1
        choices = [
            name for name in frame.ask if name in stated and not (several and name == frame.key)
        ]
        return (self.pick(choices), "known") if choices else ("", "")

    def ask_answerable(self) -> bool:
        """Add a question about something that a memory states; False if none could be made."""
        fact = self.pick(self.facts)
        frame, owner = fact.frame, fact.owner
        stated = fact.attributes()
        attribute, kind = self.aim(fact)
        mark = (frame.name, attribute + kind, owner, fact.values.get(frame.key, ""))
        if attribute not in stated or mark in self.asked:
            return False
        must: set[str] = set()
        if kind == "known" and frame.key and len(self.by_group[frame.group, owner]) > 1:
            must.add(frame.key)
        closed = kind in ("known", "newest") and self.chance(0.5)
        if closed and self.ask_polar(fact, attribute, must):
            self.asked.add(mark)
            return True
        seqs = (frame.past if kind == "past" else frame.ask)[attribute]
        allowed = set() if kind == "both" else stated - {attribute}
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

    def ask_polar(self, fact: Fact, attribute: str, must: Iterable[str]) -> bool:
        """Add a question whether an attribute has a given value; False if none could be made."""
        frame, owner = fact.frame, fact.owner
        exclusive = attribute in frame.check
        table = frame.check if exclusive else frame.yes
        if attribute not in table:
            return False
        values = Values(self, frame, base=fact.values)
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
