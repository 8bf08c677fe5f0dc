"""What a store must hold: kept by whoever tells it what to do, and compared with what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

# A token begins with what differs most, so that no index stores only its end.
TOKEN_CHARS = 16
_SEARCHED = 10


class Memo(NamedTuple):
    """A memory as its user knows it; its token stands in no other one.

    Attributes:
        user: Whose it is.
        token: 16 hex digits.
        version: How often its metadata were changed.
    """

    user: str
    token: str
    version: int = 0

    @property
    def text(self) -> str:
        """What was said."""
        return f"{self.user} has parcel {self.token} in room {self.token[:2]}"

    @property
    def searched(self) -> bytes:
        """Bytes that are in a file if the text is, and hardly by chance."""
        return self.token[-_SEARCHED:].encode()


@dataclass(frozen=True)
class Op:
    """One call, and what is true once it has returned.

    Attributes:
        name: What is called.
        new: The memories that it adds, or that take the place of those in ``ids``.
        ids: What it changes or forgets.
        path: Where it writes to.
    """

    name: str
    new: tuple[Memo, ...] = ()
    ids: tuple[int, ...] = ()
    path: str = ""


@dataclass
class Tally:
    """What came of it.

    Attributes:
        rounds: Processes that were killed, or cuts of power, or calls of a crowd.
        encrypted: Those of them that were at encrypted stores.
        calls: Calls that returned.
        acknowledged: Memories that had to be in a store when it was looked at.
        found: Those that were there, word by word.
        lost: Those that were not, or not found by their words.
        duplicated: Memories that nobody added, or that were there twice.
        in_part: Calls that had not returned and were stored in part.
        leaked: Memories that another user got to see.
        left_behind: Forgotten memories of which a file had bytes.
        damaged: Stores that could not be opened, or in which `verify` found something.
        failed: Calls that raised.
    """

    rounds: int = 0
    encrypted: int = 0
    calls: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    duplicated: int = 0
    in_part: int = 0
    leaked: int = 0
    left_behind: int = 0
    damaged: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the numbers of another one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def note(self, what: str) -> None:
        """Say what went wrong, a few times."""
        if len(self.notes) < 20:
            self.notes.append(what[:500])

    @property
    def faults(self) -> int:
        """The sum of all that must be 0."""
        return sum(getattr(self, name) for name in FAULTS)


FAULTS = ("lost", "duplicated", "in_part", "leaked", "left_behind", "damaged", "failed")


class Book:
    """What a store holds by what it has acknowledged.

    Attributes:
        there: The memories by id.
        gone: What was forgotten or replaced, until it is known that no file has it.
    """

    def __init__(self) -> None:
        self.there: dict[int, Memo] = {}
        self.gone: list[Memo] = []

    def done(self, op: Op, ids: Sequence[int]) -> None:
        """A call has returned.

        Args:
            op: The call.
            ids: The ids that it returned.
        """
        for id in op.ids:
            old = self.there.pop(id, None)
            if old is not None and not any(old.token == memo.token for memo in op.new):
                self.gone.append(old)
        if op.new:
            self.there |= dict(zip(ids, op.new, strict=True))

    def compare(self, held: Mapping[int, Memo], begun: Op | None, tally: Tally) -> None:
        """Compare what is held with what must be, and take what is held from then on.

        Args:
            held: The memories by id.
            begun: The call that had not returned; it has been done, or not at all.
            tally: Is added to.
        """
        rest = {id: memo for id, memo in held.items() if self.there.get(id) != memo}
        missing = {id: memo for id, memo in self.there.items() if held.get(id) != memo}
        ids, new = (set(begun.ids), Counter(begun.new)) if begun else (set[int](), Counter[Memo]())
        came = Counter(rest.values())
        if set(missing) == ids and came == new:
            kept = {memo.token for memo in new}
            self.gone += [memo for memo in missing.values() if memo.token not in kept]
            self.there = {id: memo for id, memo in self.there.items() if id not in missing}
            missing = {}
        elif set(missing) <= ids and came <= new and (rest or missing):
            tally.in_part += 1
            tally.note(f"in part: {begun}: {missing} and {rest}")
        elif rest or missing:
            tally.lost += len(missing)
            tally.duplicated += len(rest.keys() - missing.keys())
            tally.note(f"lost {missing}, found {rest}, begun {begun}")
        tally.acknowledged += len(self.there)
        tally.found += len(self.there) - len(missing)
        self.there = dict(held)
