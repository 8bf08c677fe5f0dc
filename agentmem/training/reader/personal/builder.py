"""Builds one exercise: memories, questions, and evidence indices."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from random import Random

from agentmem.training.reader.personal.frames import Frame
from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.nodes import names_in
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.records import Exercise, Made, MemoryLine, StatedFact, Trace
from agentmem.training.reader.personal.unanswerable import UnanswerableQuestions


@lru_cache(4096)
def _iso_date(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


class Builder(UnanswerableQuestions):
    """Builds one exercise."""

    def __init__(self, rng: Random, library: Library, *, tracing: bool) -> None:
        super().__init__(rng, library)
        self.tracing = tracing

    def fill_questions(self) -> None:
        """Write the memories that are themselves questions and answer nothing."""
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
        frame = next(frame for frame in self.library.frames if frame.name == trace.frame)
        if trace.owner == "house":
            owner = self.house
        elif trace.owner == self.me.name:
            owner = self.me
        else:
            return ""
        return self.bare_question(frame, trace.attribute, owner)

    def free_question(self) -> str:
        """A question of the main person about anything."""
        frame = self.pick(self.library.frames)
        owner = self.house if frame.who == "we" else self.me
        return self.bare_question(frame, self.pick(tuple(frame.ask)), owner)

    def bare_question(self, frame: Frame, attribute: str, owner: Person) -> str:
        """A question that names no value; "" where none was found."""
        voice = self.voice(owner, "me")
        for _ in range(3):
            seq = self.pick(frame.ask[attribute])
            if names_in(seq):
                continue
            text, _ = self.render(seq, {}, voice)
            return self.write_question(text)
        return ""

    def build(self) -> Made | None:
        """Build the exercise; None if the draw did not give enough questions."""
        if not self.assemble() or not self.facts:
            return None
        count = 4 + int(self.random() * 5)
        for _ in range(count * 6):
            if len(self.questions) >= count:
                break
            if self.chance(0.29):
                self.ask_unanswerable()
            else:
                self.ask_answerable()
        if len(self.questions) < 4:
            return None
        self.fill_questions()
        return self.finish()

    def finish(self) -> Made:
        """Put the memories in their final order, and number the evidence accordingly."""
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
        stated = (
            ()
            if not self.tracing
            else tuple(
                StatedFact(
                    new[index],
                    fact.frame.name,
                    self.label(fact.owner),
                    tuple((name, fact.values.get(name, "")) for name in sorted(used)),
                )
                for fact in self.facts
                for index, used, _, _ in fact.mentions
            )
        )
        return Exercise(memories, questions), tuple(self.traces), stated
