"""`Auditing`: the methods of a store that keep and show its audit log."""

from __future__ import annotations

from datetime import datetime

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import ANY_SCOPE, AuditLine, Scope
from agentmem_storage.shield import shielded
from agentmem_storage.sql.logs import audit, former
from agentmem_storage.sql.schema.rows import check_scope


class Auditing(StoreBase):
    """The log tells whose memories were added, changed and forgotten, and when; no text."""

    @property
    @shielded
    def audited(self) -> bool:
        """Whether the store keeps an audit log."""
        with self._database.read() as connection:
            return audit.is_kept(connection)

    @shielded
    def keep_audit(self, on: bool) -> None:
        """Begin or end the audit log, for all processes; what it has stays."""
        if self.audited != on:
            with self._database.write() as connection:
                audit.keep(connection, on, self._now())

    @shielded
    def audit_lines(
        self,
        scope: Scope = ANY_SCOPE,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[AuditLine]:
        """The lines of a scope, in the order in which they were written.

        Args:
            scope: Scope ids that must be equal; None matches anything.
            since: Inclusive lower bound of their times.
            until: Exclusive upper bound.

        Raises:
            CorruptRecordError: A line was altered.
        """
        with self._database.read() as connection:
            return audit.listed(connection, check_scope(scope), since, until)

    @shielded
    def forgotten_places(self, scope: Scope = ANY_SCOPE) -> int:
        """Number of forgotten messages of a scope whose places in conversations are kept."""
        with self._database.read() as connection:
            return former.count_forgotten(connection, check_scope(scope))
