"""The verbs that keep many backups in little space."""

from __future__ import annotations

from pathlib import Path

from agentmem.results import IncrementReceipt
from agentmem.verbs.handle import Location


class IncrementingVerbs:
    """What is done to backups, without opening them."""

    @staticmethod
    def increment(backup: Location, *, base: Location) -> IncrementReceipt:
        """Keep of a backup only what an earlier one does not have.

        ::

            mem.backup("backups/tuesday")
            Memory.increment("backups/tuesday", base="backups/monday")
            Memory.complete("backups/tuesday", "restored")

        The base may be an increment itself. It has to stay where it is: `complete` reads it.

        Args:
            backup: The folder that `backup` has made.
            base: The folder of an earlier backup.

        Raises:
            InputError: one is not the folder of a backup, both are the same, or the base was made
                from this backup.
            ArchiveError: the base is an increment that is damaged.
            StoreUnwritableError: it cannot be written; the backup is as it was.
        """
        from agentmem_storage.increments import make_increment

        made = make_increment(backup, base)
        return IncrementReceipt(made.folder, made.file_bytes, made.full_bytes)

    @staticmethod
    def complete(backup: Location, path: Location) -> Path:
        """Put a backup together again from an increment and the backups that it was made from.

        Args:
            backup: The folder of an increment.
            path: A new or an empty folder, which is a store afterwards.

        Returns:
            The folder.

        Raises:
            InputError: there is something at ``path``, or ``backup`` is no folder of a backup.
            StoreNotFoundError: a backup that it was made from is not there.
            ArchiveError: an increment is damaged, or one of these was changed since.
            StoreUnwritableError: it cannot be written.
        """
        from agentmem_storage.increments import complete_backup

        return complete_backup(backup, path)
