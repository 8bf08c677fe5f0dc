"""Aligns a transcript of which something was changed with the end of a scope.

An answer in the middle was generated again, or the window begins with a message that is new in
every turn, such as what was recalled for it. What remained stands in the same order in both.

Conversations have words in common, too: "ok", "thanks". So an alignment holds only if it is dense:
of the call, up to the last source that was found, two thirds were; and of the scope, from the first
of them to its end, half.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from agentmem_storage.sql.writing.places import Place, Symbol

# Time and space are quadratic in this.
_MOST = 256


def edited(
    symbols: Sequence[Symbol],
    tail: Sequence[Place],
    stored: Container[Symbol],
    least: int,
    gap: int,
) -> dict[int, Place]:
    """The places of those sources of a call that were found, by their number in the call.

    Args:
        symbols: What the new sources have in common with equal ones, in order.
        tail: The newest places of the scope, oldest first.
        stored: The symbols that the scope has.
        least: How many must be found.
        gap: How many places may stand behind the last one.

    Returns:
        Nothing if they are too few, or too far apart.
    """
    known = sum(one in stored for one in symbols)
    if known < least or len(symbols) > _MOST:
        return {}
    pairs = _common(symbols, tail)
    if len(pairs) < least:
        return {}
    last, (_, first_place), (_, last_place) = pairs[-1][0], pairs[0], pairs[-1]
    if 3 * len(pairs) < 2 * (last + 1):
        return {}
    span = sum(not place.forgotten for place in tail[first_place:])
    behind = sum(not place.forgotten for place in tail[last_place + 1 :])
    if 2 * len(pairs) < span or behind > gap:
        return {}
    found = {number: tail[at] for number, at in pairs}
    # What was changed in an earlier turn has been stored since, at the end.
    taken = {at for _, at in pairs}
    left = [tail[at] for at in range(first_place, len(tail)) if at not in taken]
    for number in range(last):
        if number not in found:
            same = next((place for place in left if symbols[number] in place.symbols), None)
            if same is not None:
                found[number] = same
                left.remove(same)
    return found


def _common(symbols: Sequence[Symbol], tail: Sequence[Place]) -> list[tuple[int, int]]:
    """The longest common subsequence, as positions in both; the first in the call, of several."""
    best = [[0] * (len(tail) + 1)]
    for one in symbols:
        above, row = best[-1], [0]
        for at, place in enumerate(tail):
            row.append(above[at] + 1 if one in place.symbols else max(above[at + 1], row[at]))
        best.append(row)
    pairs: list[tuple[int, int]] = []
    number, at = len(symbols), len(tail)
    while number and at:
        if best[number][at] == best[number - 1][at]:
            number -= 1
        elif best[number][at] == best[number][at - 1]:
            at -= 1
        else:
            number, at = number - 1, at - 1
            pairs.append((number, at))
    return pairs[::-1]
