"""How the chunks of a source stand in its text: one after the other, each with the next number.

Where parts were forgotten there is a gap, in the text and in the numbers; such a source no longer
has a content hash.
"""

from __future__ import annotations


def may_follow(ordinal: int, start: int, *, due: int, end: int, complete: bool) -> bool:
    """Whether a chunk may stand where it does.

    Args:
        ordinal: Its number in the source.
        start: Where it begins, in code points.
        due: The number after that of the chunk before it.
        end: Where that chunk ends.
        complete: Whether nothing of the source was forgotten.
    """
    if ordinal == due:
        return start == end
    return not complete and ordinal > due and start >= end
