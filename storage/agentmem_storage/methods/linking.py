"""`Linking`: the methods of a store that say which sources supersede which."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import Link
from agentmem_storage.shield import shielded
from agentmem_storage.sql.where.selection import as_id
from agentmem_storage.sql.writing import links


class Linking(StoreBase):
    """Links between two sources: those that are stated, and those that are only candidates."""

    @shielded
    def supersede(self, old: int, new: int) -> None:
        """State that one source supersedes another; again, it changes nothing.

        Args:
            old: Id of the source that is superseded.
            new: Id of the one that supersedes it.

        Raises:
            UnknownIdError: There is no such source.
            InputError: They are one source, or belong to different users or agents, or the old one
                supersedes the new one.
        """
        with self._database.write() as connection:
            links.state(connection, as_id(old), as_id(new), self._now())

    @shielded
    def separate(self, old: int, new: int) -> bool:
        """Delete the link that says that one source supersedes another; return whether there was.

        Args:
            old: As in `supersede`.
            new: Likewise.
        """
        with self._database.write() as connection:
            return links.remove(connection, as_id(old), as_id(new))

    @shielded
    def propose(self, found: Sequence[tuple[int, int, float]]) -> list[Link]:
        """Write that sources seem to supersede others, as candidates.

        Args:
            found: Ids of an old and of a new source, and a score, 0 to 1.

        Returns:
            The candidates that were written: not where the two are linked already or have an order
            by other links, one of them is gone, or they belong to different users or agents.
        """
        if not found:
            return []
        with self._database.write() as connection:
            return links.propose(connection, found, self._now())
