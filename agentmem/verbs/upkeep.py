"""The verbs that look after a store: check, mend, copy, move and prepare it."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, BinaryIO

from agentmem.errors import FilterError, InputError
from agentmem.ingest.checks import check_flag
from agentmem.ingest.encode import EncodingOptions, Progress, Quantization
from agentmem.maintenance import rebuild_terms, verify
from agentmem.models.base import BUILTIN, MIN_FIDELITY, MemoryModel
from agentmem.results import (
    BackupReceipt,
    ExportReceipt,
    LoadReceipt,
    Migration,
    Preparation,
    Repair,
    Verification,
)
from agentmem.scopes import ReadId
from agentmem_storage.encryption.master import Key
from agentmem_storage.records import UNSET, Selection
from agentmem_storage.text import shown

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.chat.reader import MemoryReader

from agentmem.verbs.filters import checked
from agentmem.verbs.handle import Handle, Location, Time, Where, listed


class UpkeepVerbs(Handle):
    """What looks after the store."""

    def verify(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        decode: bool = True,
        on_progress: Progress | None = None,
    ) -> Verification:
        """Check rows and checksums, and that every text of a scope decodes exactly.

        Without a scope, the complete store is checked, including its file and its lexical index
        as wholes; with one, only the rows of that scope.

        Args:
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            decode: Whether to decode texts; without, rows and checksums are checked, which takes
                a small part of the time and no model.
            on_progress: Called with the number of chunks checked so far and the total.
        """
        scope = self._binding.reading(user_id, agent_id, session_id)
        decode = check_flag(decode, "decode")
        return verify(self._store, self._model, scope, on_progress, decode=decode)

    def repair(self, *, on_progress: Progress | None = None) -> Repair:
        """Mend a damaged store: rebuild what can be rebuilt, and take the rest out of use.

        Indexes, embeddings, the change log and checksums of derived data are made again from what
        is intact. A memory that does not decode to its text, and a message whose speaker, scope,
        time, title or metadata are not as they were written, go into quarantine: they are in no
        result any more, and nothing of them is deleted. `verify` lists them by id, with the
        reason, until they are forgotten, by ``forget(ids=...)`` or with their scope.

        Make a copy of the store's folder first, or better, restore from a backup: what was intact
        there is more than can be mended here.

        Args:
            on_progress: Called with the number of chunks checked so far and the total.

        Raises:
            InputError: this is a scoped handle, and the store is that of everybody.
            StoreUnwritableError: the store is read-only.
        """
        self._require_complete("repair")
        from agentmem.repairing import repair

        return repair(self._store, self._model, on_progress)

    def backup(
        self, path: Location, *, keys: bool = False, on_progress: Progress | None = None
    ) -> BackupReceipt:
        """Copy the complete store to a new folder, while others read and write it.

        The copy is the store as it was at one moment, and `Memory` opens it like any other. That of
        an encrypted store is encrypted, and opens with the key ring of the store, ``keys.db``, put
        beside it: what is forgotten as a whole, such as a user, is then unreadable in it, too.

        Args:
            path: A new or an empty folder. If the copy fails, it is left as it was.
            keys: Whether to copy the key ring too: for a copy that is to be a store of its own,
                which does not follow what is forgotten here.
            on_progress: Called with the number of pages copied so far and the total.

        Raises:
            InputError: ``path`` is not a folder or contains something, or this handle is bound to a
                scope, of which no backup can be made.
            StoreUnwritableError: the copy cannot be written.
        """
        if not self._owns_store:
            raise InputError(
                "backup() copies the memories of everybody, which a scoped handle cannot access: "
                "call it on the Memory that was opened"
            )
        copied = self._store.backup(path, on_progress, keys=keys)
        return BackupReceipt(copied.folder, copied.chunks, copied.file_bytes)

    @staticmethod
    def migrate(
        location: Location,
        *,
        model: Location | MemoryModel | None = None,
        embedder: str = BUILTIN,
        from_model: Location | MemoryModel | None = None,
        keep_old: Location | None = None,
        quantization: Quantization = "auto",
        min_fidelity: float = MIN_FIDELITY,
        timeout_s: float = 30.0,
        key: Key | None = None,
        on_progress: Progress | None = None,
    ) -> Migration:
        """Bring a store to another model bundle or embedder; no text has to be kept for that.

        ::

            Memory.migrate("notes")                              # to the bundle of this release
            Memory.migrate("notes", embedder="sentence-transformers:all-MiniLM-L6-v2")

        If both bundles have the same autoencoder, only embeddings are made again. Otherwise each
        text is decoded with the old bundle, encoded with the new one, decoded again and compared.
        Ids, scopes, metadata, times and places in conversations stay.

        Others may use the store meanwhile; what they add is included. When everything is encoded,
        the store changes in one transaction, and those who have it open are refused from then on,
        with IncompatibleModelError, until they open it again. Interrupted before that, the store is
        as it was, and the next call goes on where this one was.

        Args:
            location: The store; not ``":memory:"``.
            model: The bundle that it gets, as for `Memory`.
            embedder: The embedder that it gets, likewise.
            from_model: The bundle that it was written with; None: it is looked for, see
                `agentmem.models.bundle.find`. Not needed if only the embedder changes.
            keep_old: A new or an empty folder for a copy of the store as it was.
            quantization: How finely latents are quantized, as for `Memory`.
            min_fidelity: Likewise.
            timeout_s: How long to wait for other writers, in seconds.
            key: The master key of an encrypted store, as for `Memory`.
            on_progress: Called with the number of chunks encoded so far and the total.

        Raises:
            StoreNotFoundError: there is no store at ``location``.
            IncompatibleModelError: the bundle that it was written with was not found.
            CorruptRecordError: memories are damaged, which the message names; nothing was changed.
            StoreBusyError: others hold the lock for too long, or keep adding.
            StoreUnwritableError: the store or ``keep_old`` cannot be written.
            StoreKeyError: the store is encrypted, and cannot be decrypted with the key.
        """
        from agentmem.migration import migrate

        return migrate(
            location,
            model=model,
            embedder=embedder,
            from_model=from_model,
            keep_old=keep_old,
            options=EncodingOptions(quantization, min_fidelity),
            timeout_s=timeout_s,
            key=key,
            on_progress=on_progress,
        )

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
        on_progress: Progress | None = None,
    ) -> ExportReceipt:
        """Write memories to one file, bit for bit as they are stored, for `load` to read.

        Others may go on writing; the file is the store as it was at one moment. It has no time and
        no ids of its own, so that equal memories make equal files, unless they are encrypted.

        Args:
            path: A new file, usually named ``*.amem``. If writing it fails, there is none.
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter, as in `recall`; a message or document is written as a whole if one of
                its chunks matches.
            without: A filter of what is left out, as a whole if one of its chunks matches, such as
                ``{"user_id": "ana"}``.
            since: Only memories from this time or later.
            until: Only memories from before this time.
            passphrase: Encrypts the file, with AES-256-GCM and a key made by scrypt. Without one,
                the file is not encrypted, also if the store is.
            on_progress: Called with the number of memories written so far and the total.

        Raises:
            InputError: there is something at ``path``, or the passphrase is empty.
            FilterError: a filter has an unknown operator or is malformed, or ``without`` has no
                condition, such as ``{}``.
            CorruptRecordError: a memory is damaged; `verify` lists all damage.
            StoreUnwritableError: the file cannot be written.
            MissingExtraError: a passphrase is given, and ``cryptography`` is not installed.
        """
        from agentmem.portable import export_file

        scope = self._binding.reading(user_id, agent_id, session_id)
        if without is not None and self._store.selects_everything(without):
            raise FilterError(
                f"the filter {shown(without)} has no condition, so it leaves everything out: leave "
                f"without= out to write everything"
            )
        return export_file(
            self._store,
            self._model,
            path,
            listed(scope, None, where, since, until),
            without=None if without is None else Selection(scope, where=checked(without)),
            passphrase=passphrase,
            on_progress=on_progress,
        )

    def load(
        self,
        path: Location | BinaryIO,
        *,
        passphrase: str | None = None,
        on_progress: Progress | None = None,
    ) -> LoadReceipt:
        """Add the memories of a file that `export` wrote, each in its own scope.

        What the store has already is not added again and stays as it is, also if it was updated
        since; what was forgotten since is added again. So a file may be loaded twice, into a store
        with other memories, or again after an interruption. The file may come from anybody: it is
        checked completely before anything is written, and every text is compared with its hash.

        Args:
            path: The file; or one that is open for reading bytes and can seek, which stays open.
            passphrase: Of an encrypted file.
            on_progress: Called with the number of memories done so far and the total.

        Raises:
            ArchiveError: the file is no archive, is damaged, or the passphrase is missing or wrong.
            InputError: the file cannot be read, or it has memories outside the scope of this
                handle. Nothing was stored.
            IncompatibleModelError: its memories were encoded by another bundle. If only the
                embedder is another one, they are embedded anew.
            StoreBusyError: another writer held the store for longer than the timeout.
            MissingExtraError: the file is encrypted, and ``cryptography`` is not installed.
        """
        from agentmem.portable import load_file

        return load_file(
            self._store,
            self._model,
            path,
            admit=self._binding.admit,
            max_chars=self._max_chars,
            passphrase=passphrase,
            on_progress=on_progress,
        )

    def prepare(
        self,
        reader: MemoryReader,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        zone: tzinfo = UTC,
        on_progress: Progress | None = None,
    ) -> Preparation:
        """Make a reader's states of memories ahead of questions, and keep them beside the store.

        An answer from states makes those that are missing, and keeps them too; this only makes it
        earlier, for the newest memories first, until ``cache_bytes`` is reached. Nothing that is
        kept is dropped for it. It can be interrupted and called again at any time, and makes only
        what is missing.

        ::

            reader = MemoryReader.from_pretrained()
            mem.prepare(reader, user_id="ana")
            reader.answer(question, mem.recall(question, user_id="ana"), mode="states")

        States are derived data: they are made again if their file is missing or damaged, or for
        another reader. `forget` and `update` erase them, `verify` and `backup` leave them out.

        Args:
            reader: Makes and reads them.
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter, as in `recall`.
            since: Only memories from this time or later.
            until: Only memories from before this time.
            zone: The zone of the ``now`` that questions will be recalled with: a reader reads on
                which day something was said, and that is part of the states.
            on_progress: Called with the number of memories done so far and the total.

        Raises:
            InputError: the store keeps no states: it is read-only, or ``cache_bytes`` is 0.
            FilterError: the filter has an unknown operator or is malformed.
            TypeError: ``reader`` is no `MemoryReader`.
        """
        from agentmem.chat.prepare import prepare

        scope = self._binding.reading(user_id, agent_id, session_id)
        selection = listed(scope, None, where, since, until)
        return prepare(
            self._store, self._model, reader, selection, zone=zone, on_progress=on_progress
        )

    def purge(self) -> bool:
        """Remove the bytes of what was forgotten or replaced from the files, if there may be any.

        ::

            mem = Memory("notes", purge="later")
            mem.forget(user_id="ana")  # gone from every result
            mem.purge()  # and from the files

        A small database file is rewritten, and a large one is cleaned where it is. It takes the
        longer the larger the store is, and others cannot write meanwhile. Without
        ``purge="later"`` every call that deletes does it by itself, and so does whoever opens the
        store.

        In PostgreSQL the tables are vacuumed, while others read and write: what was forgotten is in
        no table any more, but its bytes may be in free space until that is used again, and in the
        server's log, backups and replicas as long as these are kept.

        Returns:
            Whether none are left. If not, another process was reading an older state, or the disk
            is full: call it again later.

        Raises:
            InputError: this is a scoped handle, and the files are of the complete store.
            StoreBusyError: others keep the store locked.
        """
        self._require_complete("purge")
        return self._store.purge()

    def reindex(self) -> None:
        """Rebuild the vector index and the lexical index of the store from the rows.

        Raises:
            InputError: this is a scoped handle, and the indexes are of the complete store.
        """
        self._require_complete("reindex")
        self._store.rebuild_index()
        rebuild_terms(self._store, self._model)
