"""Which memories are turns of one conversation, so that what one says tells of the others.

An answer often stands next to the words of the question. That is so within a conversation: notes
and documents that were only added one after the other tell nothing of each other. Turns are of one
conversation if no more than `GAP` lies between one and the next, and somebody else speaks within
`REACH` turns. A document is no turn, and a turn of which only a user's own lines are around, such
as facts that an agent noted, stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from agentmem_storage.records import Sides, Turn

# Turns on each side of one that may be of its conversation.
REACH = 3
GAP = timedelta(minutes=30)

_GAP_MICROS = GAP // timedelta(microseconds=1)


def conversation(id: int, sides: Sides, turns: Mapping[int, Turn]) -> Sides:
    """The turns on each side of one that are of its conversation, nearest first.

    Args:
        id: The chunk.
        sides: The chunks before and after it, nearest first.
        turns: What is known of all of them.
    """
    before, after = (_run(id, side[:REACH], turns) for side in sides)
    speakers = {turns[one].speaker for one in (id, *before, *after)}
    return (before, after) if len(speakers) > 1 else ((), ())


def follow(one: Turn, next: Turn) -> bool:
    """Whether both are turns, and no more than `GAP` lies between them."""
    spoken = one.speaker is not None and next.speaker is not None
    return spoken and abs((one.time or 0) - (next.time or 0)) <= _GAP_MICROS


def _run(id: int, side: Sequence[int], turns: Mapping[int, Turn]) -> tuple[int, ...]:
    """The turns of a side up to the first that is of another conversation."""
    last = turns[id]
    for count, one in enumerate(side):
        if not follow(last, turns[one]):
            return tuple(side[:count])
        last = turns[one]
    return tuple(side)
