"""The verbs that say what a store holds on somebody, and what was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.errors import InputError
from agentmem.ingest.checks import check_time
from agentmem.ingest.encode import Progress
from agentmem.scopes import ReadId
from agentmem.verbs.handle import Handle, Time
from agentmem_storage.records import UNSET, AuditLine

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.dossier import Dossier


class DisclosingVerbs(Handle):
    """What answers a person who asks what is stored about them."""

    def dossier(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        on_progress: Progress | None = None,
    ) -> Dossier:
        """Everything that is held on a person: texts, metadata, times, links, lines of the audit.

        ::

            mem.dossier(user_id="ana").save("ana.json")

        What has expired and is not erased yet is in it, and so is what is in quarantine. Vectors
        are not: they are what the texts are made of again, and `export` writes them.

        Args:
            user_id: Whose; as in `recall`.
            agent_id: Only what belongs to this agent.
            session_id: Only this conversation.
            on_progress: Called with the number of memories read so far and the total.

        Raises:
            CorruptRecordError: a line of the audit log was altered.
        """
        from agentmem.dossier import make_dossier

        scope = self._binding.reading(user_id, agent_id, session_id)
        return make_dossier(self._store, self._model, scope, on_progress)

    def audit(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        since: Time | None = None,
        until: Time | None = None,
    ) -> tuple[AuditLine, ...]:
        """The audit log: whose memories were added, changed and forgotten, and when; no text.

        A store keeps one from the time that it is opened with ``audit=True``. Its lines stay when
        the memories are forgotten, with the ids of their scope.

        Args:
            user_id: As in `recall`: only lines about this user's memories.
            agent_id: Likewise.
            session_id: Likewise.
            since: Only lines from this time or later.
            until: Only lines from before this time.

        Returns:
            The lines, oldest first.

        Raises:
            InputError: the store keeps no audit log, and never has.
            CorruptRecordError: a line was altered.
        """
        scope = self._binding.reading(user_id, agent_id, session_id)
        lines = self._store.audit_lines(
            scope, since=check_time(since, "since"), until=check_time(until, "until")
        )
        if not lines and not self._store.audited:
            raise InputError(
                f"the store at {self._store.location!r} keeps no audit log: open it with "
                f"Memory(path, audit=True), or call `agentmem audit --begin`"
            )
        return tuple(lines)
