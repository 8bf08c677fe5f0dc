"""What the generator yields: memories and questions, and for tests how they were made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryLine:
    """One short memory.

    Attributes:
        date: The ISO day it was written.
        speaker: A name, or "user" or "assistant".
        text: What was said or noted.
    """

    date: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Exercise:
    """Some memories and questions about them.

    Attributes:
        memories: The memories, mostly in order of time.
        questions: Each question with its short answer (None: no memory answers it) and the
            indices of the memories that hold the evidence.
    """

    memories: tuple[MemoryLine, ...]
    questions: tuple[tuple[str, str | None, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Trace:
    """What a question asks, for tests: which frame, which attribute, of whom.

    Attributes:
        frame: The name of the frame.
        attribute: The attribute asked for.
        owner: A label of the person.
        named: The values of other attributes that the question names.
        kind: How the question was made.
    """

    frame: str
    attribute: str
    owner: str
    named: tuple[tuple[str, str], ...]
    kind: str


@dataclass(frozen=True)
class StatedFact:
    """A fact that one memory states, for tests.

    Attributes:
        memory: The index of the memory.
        frame: The name of the frame.
        owner: A label of the person.
        values: The attributes stated, with their values.
    """

    memory: int
    frame: str
    owner: str
    values: tuple[tuple[str, str], ...]


Made = tuple[Exercise, tuple[Trace, ...], tuple[StatedFact, ...]]
"""An exercise, a trace of each question, and, if tracing, the facts that each memory states."""
