"""Endless exercises from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from agentmem.training.reader.personal.builder import Builder
from agentmem.training.reader.personal.library import load_library
from agentmem.training.reader.personal.records import Exercise, Made


def _stream(seed: int, tracing: bool) -> Iterator[Made]:
    library = load_library()
    rng = Random(seed)
    while True:
        made = Builder(rng, library, tracing=tracing).build()
        if made is not None:
            yield made


def traced(seed: int) -> Iterator[Made]:
    """The exercises of a seed with what their questions and memories are made from."""
    return _stream(seed, tracing=True)


def exercises(seed: int) -> Iterator[Exercise]:
    """Endless exercises, the same for the same seed.

    Args:
        seed: The seed of the stream.

    Yields:
        One exercise after the other.

    Raises:
        DataError: A data file breaks a rule.
    """
    for exercise, _, _ in _stream(seed, tracing=False):
        yield exercise


def inventory() -> dict[str, int]:
    """Counts of what the data files hold: frames, slots, forms."""
    library = load_library()
    frames = library.frames
    return {
        "frames": len(frames),
        "slots": sum(len(frame.ask) for frame in frames),
        "statement forms": sum(
            len(frame.say) + len(frame.note) + len(frame.free_note) + len(frame.pro)
            + len(frame.con) + sum(map(len, frame.change.values()))
            for frame in frames
        ),
        "question forms": sum(
            len(seqs)
            for frame in frames
            for table in (frame.ask, frame.yes, frame.check, frame.past)
            for seqs in table.values()
        ),
        "pool entries": sum(len(pool.entries) for pool in library.pools.values()),
    }  # fmt: skip
