"""Where packed states are kept between answers: a contract, and the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class StatesCache(Protocol):
    """Keeps the packed states of certain memories, which are named by their position in a list."""

    def find(self, reader: str, digests: Sequence[bytes]) -> Mapping[int, bytes]:
        """The packed states that are there, by position.

        Args:
            reader: Fingerprint of the reader that made them.
            digests: Of each memory, a digest of what its states must have been made of.
        """

    def keep(self, reader: str, made: Mapping[int, tuple[bytes, bytes]]) -> Collection[int]:
        """Keep states, if possible.

        Args:
            reader: Fingerprint of the reader.
            made: By position, the digest of what they were made of, and the packed states.

        Returns:
            The positions of those that were kept.
        """


class KeptStates:
    """A bounded cache of packed states in memory; the least recently used go first.

    Args:
        most_bytes: The most that is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    @property
    def stored_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._kept

    def find(self, digest: bytes) -> bytes | None:
        """The states that were made of what has this digest; None if they are not there."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
        return self._kept.get(digest)

    def keep(self, digest: bytes, packed: bytes) -> None:
        """Keep states, and drop others for them, unless they are larger than all may be."""
        if len(packed) > self._most_bytes:
            return
        self._bytes += len(packed) - len(self._kept.pop(digest, b""))
        self._kept[digest] = packed
        while self._bytes > self._most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped)

    def clear(self) -> None:
        """Drop all."""
        self._kept.clear()
        self._bytes = 0
