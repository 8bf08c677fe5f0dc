"""`Keeping`: the methods of a store that keep readers' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import KeptStates, NewStates
from agentmem_storage.shield import shielded


class Keeping(StoreBase):
    """A cache beside the rows: what cannot be read or written is only made again."""

    @property
    @shielded
    def keeps_states(self) -> bool:
        """Whether readers' states can be kept: it can be written, and ``states_bytes`` is not 0."""
        return self._states.keeps

    @shielded
    def find_states(self, reader: str, wanted: Mapping[int, bytes]) -> dict[int, bytes]:
        """The states that are kept of chunks; none where they cannot be read.

        Args:
            reader: Fingerprint of the reader that made them.
            wanted: By chunk id, the digest of what they must have been made of.

        Returns:
            By chunk id, the states as they were packed.
        """
        return self._states.find(reader, wanted)

    @shielded
    def held_states(self, reader: str, wanted: Mapping[int, bytes]) -> set[int]:
        """Ids of the chunks whose states `find_states` finds, unless these are damaged."""
        return self._states.held(reader, wanted)

    @shielded
    def keep_states(
        self, reader: str, made: Sequence[NewStates], *, evict: bool = True
    ) -> KeptStates:
        """Keep states that a reader has made of chunks, where that is possible.

        Args:
            reader: Fingerprint of the reader.
            made: The states.
            evict: Whether those that were used least recently are dropped where there is no room.
        """
        return self._states.keep(reader, made, evict=evict)
