"""Exercises from notebooks: the notes one person left over months, and questions about them.

Unlike the memories that `agentmem.training.reader.personal` makes from templates, notes and
questions are written one by one, by a person or a large language model, each worded differently.
An exercise is a sample of a notebook's notes: those that answer some of its questions, and others
that resemble them.

A record has ``person``; ``notes``, each with ``date``, ``speaker`` and ``text``; and
``questions``, each with ``question``, ``answer`` (null if no note answers it), ``evidence``
(indices of notes) and ``alternatives`` (true if any single one of them suffices).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from agentmem.errors import InputError
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.prompt import ReadingPrompt, memory_line
from agentmem.models.reader.sequence import Branch
from agentmem.training.reader.exercises import Exercise

_WORD: Final = re.compile(r"\w+")
# Codes and amounts, but no years, no parts of dates, times or grouped numbers.
_CODE: Final = re.compile(r"(?<![\d.,:/])(?!(?:19|20)\d\d\b)\d{3,}(?![\d.,:/]\d|\d)")
_YEAR: Final = re.compile(r"\b20\d\d\b")
_MOST_QUESTIONS: Final = 5


class Note(BaseModel):
    """A note of a notebook.

    Attributes:
        date: The day it was left.
        speaker: ``user``, ``assistant`` or someone's name.
        text: What it says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    speaker: str
    text: str


class NoteQuestion(BaseModel):
    """A question about a notebook.

    Attributes:
        question: Its text.
        answer: The answer; None if no note contains it.
        evidence: Indices of the notes that answer it, all of which it needs.
        alternatives: Whether any one of them suffices instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    answer: str | None
    evidence: tuple[int, ...] = ()
    alternatives: bool = False


class Notebook(BaseModel):
    """The notes of one person, and questions about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    notes: tuple[Note, ...]
    questions: tuple[NoteQuestion, ...]


def read_notebooks(records: Iterable[Mapping[str, Any]]) -> list[Notebook]:
    """Parse and check notebooks.

    Raises:
        InputError: a record is not a notebook, or a question names a note that is not there.
    """
    found = []
    for number, record in enumerate(records, start=1):
        try:
            notebook = Notebook.model_validate(record)
        except ValidationError as error:
            raise InputError(f"record {number} is not a notebook: {error}") from error
        for asked in notebook.questions:
            if (asked.answer is None) == bool(asked.evidence) or any(
                not 0 <= index < len(notebook.notes) for index in asked.evidence
            ):
                raise InputError(
                    f"record {number}: the evidence of {asked.question!r} is wrong: an answer "
                    f"needs indices of notes, and no answer none"
                )
        found.append(notebook)
    return found


def from_notebooks(
    notebooks: Sequence[Notebook], prompt: ReadingPrompt, random: Random
) -> Iterator[Exercise]:
    """Endless exercises, from one notebook after the other in random order."""
    samplers = [_Sampler(notebook) for notebook in notebooks]
    while samplers:
        random.shuffle(samplers)
        for sampler in samplers:
            exercise = sampler.exercise(prompt, random)
            if exercise is not None:
                yield exercise


@dataclass(frozen=True, slots=True)
class _Similarity:
    """Shared words, weighted by their rarity among the notes of a notebook."""

    notes: list[set[str]]
    weights: dict[str, float]

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Similarity:
        notes = [_words(text) for text in texts]
        counts = Counter(word for words in notes for word in words)
        return cls(notes, {w: math.log(1 + len(notes) / n) for w, n in counts.items()})

    def to(self, words: set[str]) -> list[float]:
        """The similarity of each note to a set of words."""
        return [sum(self.weights[w] for w in words & note) for note in self.notes]


class _Sampler:
    """Draws exercises from one notebook."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._similar = _Similarity.of([note.text for note in notebook.notes])
        self._fixed_digits = any(
            set(_CODE.findall(asked.answer or ""))
            - {c for index in asked.evidence for c in _CODE.findall(notebook.notes[index].text)}
            for asked in notebook.questions
        )

    def exercise(self, prompt: ReadingPrompt, random: Random) -> Exercise | None:
        """An exercise; None if no question fits the sample."""
        notes = self._notebook.notes
        targets = random.sample(self._notebook.questions, min(3, len(self._notebook.questions)))
        chosen, left_out = self._choose(targets, random)
        dated = random.random() < 0.85
        varied = self._varied(random)
        memories = []
        for index in sorted(chosen):
            note = notes[index]
            who = note.speaker
            line = memory_line(
                _replaced(note.text, varied),
                who=who.capitalize() if who in ("user", "assistant") else who,
                day=note.date if dated else None,
            )
            memories.append(prompt.memory(line))
        branches = [
            Branch(
                prompt.question(_replaced(asked.question, varied)),
                prompt.answer(NOT_IN_MEMORY if answer is None else _replaced(answer, varied)),
            )
            for asked, answer in self._askable(targets, chosen, left_out, random)
            if self._survives(asked, answer, dated=dated, varied=bool(varied))
        ]
        return Exercise(tuple(memories), tuple(branches)) if branches else None

    def _choose(self, targets: Sequence[NoteQuestion], random: Random) -> tuple[set[int], set[int]]:
        """Notes of the sample, and notes that must stay out of it."""
        roll = random.random()
        size = 8 if roll < 0.4 else random.randint(3, 12) if roll < 0.85 else random.randint(12, 20)
        chosen: set[int] = set()
        left_out: set[int] = set()
        scores = [0.0] * len(self._notebook.notes)
        for number, target in enumerate(targets):
            words = _words(target.question)
            for index in target.evidence:
                words |= self._similar.notes[index]
            scores = [a + b for a, b in zip(scores, self._similar.to(words), strict=True)]
            # The evidence of the last one is missing at times: then there is no answer.
            if number and random.random() < 0.35:
                left_out.update(set(target.evidence) - chosen)
            else:
                chosen.update(set(target.evidence) - left_out)
        rest = [i for i in range(len(scores)) if i not in chosen and i not in left_out]
        rest.sort(key=lambda i: -scores[i])
        near = rest[: max(0, size - len(chosen)) * 2]
        random.shuffle(near)
        alike = (size - len(chosen) + 1) // 2
        chosen.update(near[: max(0, alike)])
        others = [i for i in rest if i not in chosen]
        random.shuffle(others)
        chosen.update(others[: max(0, size - len(chosen))])
        return chosen, left_out

    def _askable(
        self,
        targets: Sequence[NoteQuestion],
        chosen: set[int],
        left_out: set[int],
        random: Random,
    ) -> list[tuple[NoteQuestion, str | None]]:
        """Questions to ask about a sample, with their answers."""
        answered: list[tuple[NoteQuestion, str | None]] = []
        absent: list[tuple[NoteQuestion, str | None]] = []
        for asked in self._notebook.questions:
            evidence = set(asked.evidence)
            found = evidence & chosen
            if asked.answer is None:
                absent.append((asked, None))
            elif found == evidence or (asked.alternatives and found):
                answered.append((asked, asked.answer))
            elif not found and evidence & left_out:
                absent.append((asked, None))
        for group in (answered, absent):
            random.shuffle(group)
            group.sort(key=lambda pair: pair[0] not in targets)
        silent = sum(random.random() < 0.6 for _ in range(3))
        picked = answered[: _MOST_QUESTIONS - min(silent, len(absent))] + absent[:silent]
        random.shuffle(picked)
        return picked

    def _varied(self, random: Random) -> dict[str, str]:
        """Other digits for the notebook's codes and amounts, at times."""
        if self._fixed_digits or random.random() < 0.5:
            return {}
        codes = {c for note in self._notebook.notes for c in _CODE.findall(note.text)}
        return {
            code: "".join(
                random.choice("123456789" if at == 0 and code[0] != "0" else "0123456789")
                for at in range(len(code))
            )
            for code in sorted(codes)
        }

    def _survives(
        self, asked: NoteQuestion, answer: str | None, *, dated: bool, varied: bool
    ) -> bool:
        """Whether a question is still right without dates, or with other digits."""
        if answer is None:
            return True
        texts = [self._notebook.notes[index].text for index in asked.evidence]
        if not dated and _YEAR.search(answer) and not any(answer in text for text in texts):
            return False
        return not (varied and answer in ("Yes", "No") and any(_CODE.search(t) for t in texts))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _replaced(text: str, digits: Mapping[str, str]) -> str:
    return _CODE.sub(lambda match: digits.get(match[0], match[0]), text) if digits else text
