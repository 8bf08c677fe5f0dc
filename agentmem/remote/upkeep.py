"""The verbs that check and copy, asked of a service."""

from __future__ import annotations

from typing import BinaryIO

from agentmem.remote import archives
from agentmem.remote.handle import RemoteHandle
from agentmem.remote.payload import filter_as_text, read, selected
from agentmem.results import ExportReceipt, LoadReceipt, Verification
from agentmem.scopes import ReadId
from agentmem.verbs.handle import Location, Time, Where
from agentmem_storage.records import UNSET


class RemoteUpkeep(RemoteHandle):
    """What checks memories, and copies them to and from files of this machine."""

    def verify(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        decode: bool = True,
    ) -> Verification:
        """See `Memory.verify`."""
        body = {"decode": bool(decode), **self._reading(user_id, agent_id, session_id)}
        return read(Verification, self._client.ask("POST", "/v1/verify", body=body))

    def export(
        self,
        path: Location,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | None = None,
        without: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        passphrase: str | None = None,
    ) -> ExportReceipt:
        """See `Memory.export`; the file is on this machine, and so is the passphrase."""
        asked = selected(None, where, since, until)
        if without is not None:
            asked["without"] = filter_as_text(without)
        asked |= self._reading(user_id, agent_id, session_id)
        return archives.export(self._client, path, asked, passphrase)

    def load(self, path: Location | BinaryIO, *, passphrase: str | None = None) -> LoadReceipt:
        """See `Memory.load`; the file is on this machine, and so is the passphrase."""
        return archives.load(self._client, path, passphrase, admit=self._binding.admit)
