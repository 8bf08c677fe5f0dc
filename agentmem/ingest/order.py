"""The order in which the messages of a list were said.

If every message has a time, the times decide: APIs and exports list the newest messages first, or
one conversation after another. Otherwise the order of the list does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise


def said_order(times: Sequence[datetime | None]) -> list[int]:
    """The indexes of messages in the order in which they were said.

    Args:
        times: The time of each message of a list; None if it has none.

    Returns:
        The indexes by time, or ascending if a message has no time. Messages of one time stay in
        the order of the list, or are reversed with a list that begins with the newest.
    """
    known = [time for time in times if time is not None]
    indexes = list(range(len(times)))
    if len(known) < len(times):
        return indexes
    if all(later <= earlier for earlier, later in pairwise(known)) and known[-1:] < known[:1]:
        return indexes[::-1]
    return sorted(indexes, key=known.__getitem__)
