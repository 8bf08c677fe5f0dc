"""The memories of an exercise: facts stated by someone, with small talk around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from random import Random
from typing import Final

from agentmem.training.reader.personal.facts import Fact, Facts
from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.nodes import Seq
from agentmem.training.reader.personal.people import Person
from agentmem.training.reader.personal.voices import SPEAKER

# A statement that begins like this is a request to the listener: the assistant never makes it.
_ORDERS: Final = (
    "call ", "please ", "don't ", "follow ", "send ", "in an emergency", "if ", "count ", "can ",
    "someone ", "shopping ", "put ", "type ", "read ", "ssh ", "to deploy ", "new job!", "nothing ",
    "no ", "for me", "drinks",
)  # fmt: skip


class Memories(Facts):
    """Writes the memories."""

    def __init__(self, rng: Random, library: Library) -> None:
        super().__init__(rng, library)
        self.links: dict[Person, int] = {}

    def sentence(self, fact: Fact, view: str, index: int) -> str:
        """State a fact, and record which attributes the statement names."""
        frame = fact.frame
        voice = self.voice(fact.owner, view)
        speaks = voice is SPEAKER or fact.owner is self.house
        forms = frame.say
        if frame.pro:
            forms = frame.pro if fact.values["polar"] == "Yes" else frame.con
        elif fact.changed and self.chance(0.75):
            forms = frame.change[fact.changed]
        seqs: Sequence[Seq] = forms if speaks else forms.named
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
        fact.mentions.append((index, used, voice, self.scene.offset))
        return text

    def draw_view(self, fact: Fact) -> str:
        """Draw from whose point of view a fact is stated."""
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
        """The speaker of a statement made from a point of view."""
        if self.mode == "pair":
            if view == "third":
                return "assistant"
            return self.main[1 if view == "p1" else 0].name
        if view == "me":
            return "user" if self.mode == "user" else self.me.name
        return "assistant"

    def message(self, sentences: Sequence[str], view: str) -> str:
        """Join statements to a message, the way people write."""
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
        """A statement as the assistant repeats it back."""
        if self.chance(0.75):
            body = f"{self.pool('ack')} {body}"
        if self.chance(0.3):
            body = f"{body} {self.pool('ack_after')}"
        return self.tidy(body)

    def ramble(self, body: str) -> str:
        """A statement with more or less small talk around it."""
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

    def draw_size(self) -> int:
        """Draw how many memories the exercise has."""
        roll = self.random()
        if roll < 0.4:
            return 8
        if roll < 0.85:
            return 3 + int(self.random() * 10)
        return 12 + int(self.random() * 13)

    def assemble(self) -> bool:
        """Make the memories; False if there are too few."""
        size = self.draw_size()
        self.size = size
        library, random = self.library, self.random
        topics = tuple(library.topics)
        self.focus = [self.pick(topics), self.pick(topics)]
        wanted = max(3, int(size * (0.7 + 0.45 * random())))
        for _ in range(wanted * 3):
            if len(self.facts) >= wanted:
                break
            frames = library.topics[self.pick(self.focus)] if self.chance(0.55) else library.frames
            self.invent(self.pick(frames), wanted)
        items = self.group_items(size)
        self.place(items)
        return len(items) >= 3

    def group_items(self, size: int) -> list[tuple[str, list[Fact], str]]:
        """Spread the facts over messages: (view, facts, other text)."""
        items: list[tuple[str, list[Fact], str]] = []
        open_items: dict[str, list[Fact]] = {}
        linked = [person for person in self.others if person.style == "link"]
        needed = {fact.owner for fact in self.facts}
        links = [person for person in linked if person in needed]
        room = size - len(links)
        for fact in self.facts:
            view = self.draw_view(fact)
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
                items.append((self.draw_view(fact), [fact], ""))
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

    def place(self, items: Sequence[tuple[str, list[Fact], str]]) -> None:
        """Order, date and render the messages."""
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

    def link_line(self, person: Person) -> tuple[str, str]:
        """A memory that tells whose relation someone is."""
        assert person.of is not None
        view = "p1" if person.of is not self.me else "me"
        text = self.pool("link")
        text = text.replace("NAME", person.name).replace("RELATION", person.relation)
        she = "she" if person.gender == "f" else "he"
        return self.speaker(view), self.tidy(text.replace("PRONOUN", she))
