"""One exercise, put together."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from random import Random

from agentmem.training.reader.personal.book import Book
from agentmem.training.reader.personal.frames import Frame
from agentmem.training.reader.personal.misses import Misses
from agentmem.training.reader.personal.nodes import names_in
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.records import Exercise, Made, MemoryLine, Told, Trace


@lru_cache(4096)
def _iso_date(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


class Builder(Misses):
    """Puts one exercise together."""

    def __init__(self, rng: Random, book: Book, *, tracing: bool) -> None:
        super().__init__(rng, book)
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
        frame = next(frame for frame in self.book.frames if frame.name == trace.frame)
        if trace.owner == "house":
            owner = self.house
        elif trace.owner == self.me.name:
            owner = self.me
        else:
            return ""
        return self.bare_question(frame, trace.attribute, owner)

    def free_question(self) -> str:
        """A question of the main person about anything."""
        frame = self.pick(self.book.frames)
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
        """Make the exercise, or None where the draw did not give enough questions."""
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

    def finish(self) -> Made:
        """Put the memories in their last order, and number the evidence accordingly."""
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
