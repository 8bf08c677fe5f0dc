"""The verbs that write: add, change and forget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from agentmem.errors import FilterError, InputError
from agentmem.ingest.checks import (
    check_flag,
    check_metadata,
    check_time,
)
from agentmem.ingest.encode import Progress
from agentmem.ingest.expiry import expiry_time, without_expired
from agentmem.maintenance import indexed_texts, rebuild_stale_terms
from agentmem.results import (
    ForgetReceipt,
    Receipt,
    write_receipt,
)
from agentmem.scopes import ANY, ReadId, WriteId
from agentmem.types import Content
from agentmem_storage.records import UNSET, Scope, Selection, Unset
from agentmem_storage.text import shown

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.ingest.normalize import Normalized

from agentmem.verbs.filters import checked
from agentmem.verbs.handle import Handle, Location, Time, Where


class WritingVerbs(Handle):
    """What adds, changes and forgets memories."""

    def add(
        self,
        content: Content,
        *,
        user_id: WriteId = None,
        agent_id: WriteId = None,
        session_id: WriteId = None,
        id: str | None = None,
        created_at: Time | None = None,
        expires_at: Time | None = None,
        ttl: float | timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        supersedes: int | None = None,
        on_progress: Progress | None = None,
    ) -> Receipt:
        """Store messages or documents, all or none; they are durable when this returns.

        ::

            mem.add("The door code is 7714.", user_id="ana", id="door-code", ttl=3600)

        Args:
            content: A string, a message as a dict or an SDK's object (of OpenAI, Anthropic, Google,
                LangChain and others, see `agentmem.ingest.shapes`), a `Message`, a `Document`, or
                an iterable of these.
            user_id: Whose memory it is, for messages that do not say so themselves: a dict may
                carry ``user_id``, ``agent_id`` and ``session_id``, but must not contradict these.
            agent_id: Which agent's.
            session_id: Which conversation's.
            id: Your own id for the one text that is added, unique in its scope: the external id.
                If the scope has it with other content or metadata, these take its place, and the
                receipt names them as ``replaced``; otherwise nothing is written. Messages of a list
                carry theirs as ``external_id``.
            created_at: When it was said, for messages that carry no time of their own.
            expires_at: From when on it is in no result any more, for messages that carry no
                ``expires_at``; `gc` erases it then.
            ttl: The same as a time from now: seconds, or a timedelta.
            metadata: JSON values to filter by; a message's own keys take precedence.
            supersedes: Id of a memory of the same user and agent that this one, which must be a
                single message or document, takes the place of; see `supersede`.
            on_progress: Called with the number of chunks encoded so far and the total.

        Raises:
            InputError: something cannot be stored; the message says what and why. Nothing was
                stored.
            UnknownIdError: the scope has no memory that is to be superseded.
            ChangedError: others keep changing what has the same id.
            StoreBusyError: another writer held the store for longer than the timeout.
            StoreUnwritableError: the store is read-only, or its disk is full. Nothing was written.
        """
        from agentmem.ingest.normalize import normalize

        normalized = normalize(
            content,
            created_at=created_at,
            metadata=metadata,
            scope=self._binding.writing(user_id, agent_id, session_id),
            max_chars=self._max_chars,
            external_id=id,
            expires_at=expiry_time(expires_at, ttl, self._clock()),
        )
        return self._write(normalized, on_progress, supersedes)

    def update(
        self,
        id: int | str,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: Time | None = None,
        expires_at: Time | Unset | None = UNSET,
        ttl: float | timedelta | None = None,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Receipt:
        """Replace text, metadata, time or expiry of the message or document of a chunk.

        Its source id, external id, scope and speaker stay the same, and so does what is not given;
        with a new text its chunks get new ids, and nothing of the old text remains in the store.
        The same text again changes nothing. Its place in the conversation is that of its time. To
        keep what a memory said before, add a new one that supersedes it.

        Args:
            id: One of its chunks; or as a string its external id.
            text: The new text of the complete message or document; None keeps the old.
            metadata: The new metadata, replacing the old; None keeps the old.
            created_at: When it was said; None keeps the old time.
            expires_at: From when on it is in no result any more; None for never. If neither this
                nor ``ttl`` is given, that stays as it is.
            ttl: The same as a time from now: seconds, or a timedelta.
            user_id: As in `recall`: an id outside the scope is unknown.
            agent_id: Likewise.
            session_id: Likewise.

        Raises:
            UnknownIdError: no memory of this scope has that id.
            InputError: nothing to change, the new text or time cannot be stored, it would make a
                document equal to another one of the scope, or several scopes have that external id.
            StoreBusyError: others hold the lock for too long.
            ChangedError: others keep changing the same message.
        """
        from agentmem.editing import update

        until: datetime | Unset | None = UNSET
        if ttl is not None or expires_at is not UNSET:
            given = None if isinstance(expires_at, Unset) else expires_at
            until = expiry_time(given, ttl, self._clock())
        changes = (text, metadata, created_at)
        if all(one is None for one in changes) and isinstance(until, Unset):
            raise InputError("update() needs text=, metadata=, created_at=, expires_at= or ttl=")
        if text is not None and not isinstance(text, str):
            raise TypeError(f"text must be a string, not {type(text).__name__}")
        new_time = check_time(created_at, "created_at")
        scope = self._binding.reading(user_id, agent_id, session_id)
        if isinstance(id, str):
            source_id = self._store.source_named(id, scope)
        else:
            source_id = self._one(id, scope).source.id
        receipt = update(
            self._store,
            self._model,
            source_id,
            text=text,
            metadata=None if metadata is None else check_metadata(metadata, "metadata"),
            created_at=new_time,
            expires_at=until,
            options=self._options,
            max_chars=self._max_chars,
        )
        return self._hooks.added(receipt)

    def supersede(
        self,
        old: int,
        new: int,
        *,
        undo: bool = False,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> None:
        """State that one memory takes the place of another, which is kept.

        A recall about now shows the newer one first, and one about before the older one; hits say
        what they supersede. It holds for the whole messages or documents that the chunks belong to.
        Again, it changes nothing. What is forgotten leaves no link behind; what it superseded is
        then superseded by what superseded it.

        ::

            mem.supersede(paris, rome)      # "I live in Paris", "I moved to Rome last week!"
            mem.supersede(paris, rome, undo=True)

        Args:
            old: A chunk of what is superseded.
            new: A chunk of what takes its place, of the same user and agent.
            undo: Delete the link instead; also one that was found, see `conflicts`.
            user_id: As in `recall`: an id outside the scope is unknown.
            agent_id: Likewise.
            session_id: Likewise.

        Raises:
            UnknownIdError: no memory of this scope has one of the ids.
            InputError: both are of one message or document, or belong to different users or agents,
                the old one supersedes the new one already, or there is nothing to undo.
        """
        from agentmem.superseding import separate

        undo = check_flag(undo, "undo")
        scope = self._binding.reading(user_id, agent_id, session_id)
        earlier, later = self._one(old, scope), self._one(new, scope)
        if undo:
            separate(self._store, earlier, later)
        else:
            self._store.supersede(earlier.source.id, later.source.id)

    def forget(
        self,
        ids: Iterable[int | str] | Unset = UNSET,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | Unset = UNSET,
        before: Time | Unset = UNSET,
        dry_run: bool = False,
        certificate: Location | None = None,
        signing_key: Location | None = None,
    ) -> ForgetReceipt:
        """Delete memories so that no byte of them remains in any file of the store.

        All given conditions must hold. The scope of a scoped handle does not count as one:
        ``mem.scoped(user_id="ana").forget()`` raises, ``mem.forget(user_id="ana")`` does not. None
        is refused as a condition: one that is missing by mistake must not widen what is deleted.
        What has expired is deleted too.

        Args:
            ids: Chunk ids; or external ids, as strings.
            user_id: Only this user's.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter, as in `recall`; one that matches everything is refused.
            before: Only memories from before this time.
            dry_run: Only report what would be deleted.
            certificate: A new file for a certificate: what was asked for, the ids and numbers of
                what was deleted, and when, with a SHA-256 over it. It has no text but what is in
                the conditions; see `agentmem.certificates.check_certificate`.
            signing_key: A PEM file with an Ed25519 private key, which signs the certificate.

        Raises:
            InputError: a condition is None, or there is none, so that everything would be deleted;
                or several scopes have one of the external ids; or the certificate cannot be
                written, or the key is none.
            MissingExtraError: a key is given, and ``cryptography`` is not installed.
            FilterError: the filter is malformed, or has no condition, such as ``{"and": []}``.
            TypeError: ``ids`` is no iterable of integers or of strings, such as one integer, a
                receipt or bytes; or ``dry_run`` is no truth value.
            UnknownIdError: an id is not in this scope; nothing was deleted.
        """
        from agentmem.editing import forget

        dry_run = check_flag(dry_run, "dry_run")
        scope = self._binding.reading(user_id, agent_id, session_id)
        for condition, value in (("ids", ids), ("where", where), ("before", before)):
            if value is None:
                raise InputError(
                    f"{condition} is None, which could mean every memory by mistake: leave "
                    f"{condition}= out if the other conditions are enough"
                )
        if not isinstance(where, Unset) and self._store.selects_everything(where):
            raise FilterError(
                f"the filter {shown(where)} has no condition, so it matches everything: leave "
                f"where= out if the other conditions are enough"
            )
        given = {user_id, agent_id, session_id}.difference({UNSET, ANY})
        if not given and all(isinstance(one, Unset) for one in (ids, where, before)):
            raise InputError(
                "forget() needs a condition: ids=, user_id=, agent_id=, session_id=, where= or "
                "before=; to forget everything, delete the store's folder"
            )
        selection = Selection(
            scope,
            where=None if isinstance(where, Unset) else checked(where),
            until=None if isinstance(before, Unset) else check_time(before, "before"),
            expired=None,
        )
        work = partial(forget, self._store, self._model, selection)
        if certificate is None:
            if signing_key is not None:
                raise InputError("signing_key= signs a certificate: give certificate= too")
            return self._hooks.forgotten(work(ids, dry_run=dry_run))
        if dry_run:
            raise InputError("nothing is deleted in a dry run, so there is nothing to certify")
        from agentmem.certificates import asked, drafted

        if isinstance(ids, Iterator):  # which can be read only once
            ids = [*ids]
        facts = {"store": self._store.store_id, "asked": asked(selection, ids)}
        with drafted(certificate, signing_key, facts) as draft:
            receipt = work(ids, dry_run=False)
            draft.complete(receipt)
        return self._hooks.forgotten(receipt)

    def gc(self, *, dry_run: bool = False) -> ForgetReceipt:
        """Erase what has expired, so that no byte of it remains in any file of the store.

        Expired memories are in no result, but in the files until then. It costs what `forget`
        costs, and nothing if nothing has expired. Temporary files of killed processes go, too.

        Args:
            dry_run: Only report what would be erased.
        """
        from agentmem.editing import collect_garbage

        dry_run = check_flag(dry_run, "dry_run")
        scope = self._binding.scope
        receipt = collect_garbage(self._store, self._model, scope, dry_run=dry_run)
        return self._hooks.forgotten(receipt)

    def _write(
        self,
        normalized: Normalized,
        on_progress: Progress | None = None,
        supersedes: int | None = None,
    ) -> Receipt:
        from agentmem.contradictions import propose_links
        from agentmem.superseding import conflicts, require_one
        from agentmem.writing import write_parts

        now = self._clock()
        normalized = without_expired(normalized, now)
        for scope in dict.fromkeys(part.scope for part in normalized.parts):
            self._binding.check_required(scope)
        old = None
        if supersedes is not None:
            scope = require_one(normalized.parts).scope
            old = self._one(supersedes, Scope(scope.user_id, scope.agent_id)).source.id
        written, new = write_parts(
            self._store,
            self._model,
            normalized.parts,
            options=self._options,
            now=now,
            indexed=partial(indexed_texts, self._store, self._model),
            supersedes=old,
            on_progress=on_progress,
        )
        if any(one.replaced for one in written):
            rebuild_stale_terms(self._store, self._model)
        links = propose_links(self._store, self._model, normalized.parts, written, new)
        given = sorted(zip(normalized.indices, written, strict=True), key=itemgetter(0))
        receipt = write_receipt(
            [one for _, one in given],
            new,
            skipped=normalized.skipped,
            conflicts=conflicts(self._store, links) if links else (),
        )
        return self._hooks.added(receipt)
