"""The facade: what users call. It validates, wires and returns; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from agentmem.context.decode import regenerated_texts
from agentmem.context.hits import Chunk
from agentmem.context.read import read_chunks
from agentmem.context.recall import Recall, recall
from agentmem.errors import InputError, UnknownIdError
from agentmem.ingest.checks import (
    MAX_CHARS,
    check_metadata,
    check_moment,
    check_time,
    check_unicode,
)
from agentmem.ingest.encode import Progress, Storing, prepare
from agentmem.ingest.identity import content_hash
from agentmem.ingest.normalise import normalise
from agentmem.maintenance import lexical_terms, rebuild_terms, stored_part, verify
from agentmem.models.base import AUTO, BUILTIN, MIN_FIDELITY, MemoryModel
from agentmem.models.load import load_model
from agentmem.results import ForgetReceipt, Receipt, Stats, Verification, write_receipt
from agentmem.retrieval.query import Asked, Expand, Mode, Order, Rerank
from agentmem.types import Content, Part
from agentmem_storage.records import FIDELITY_EDGES, Scope, Selection, Written
from agentmem_storage.store import Store

Location = str | os.PathLike[str]
Where = Mapping[str, Any]
# A datetime or an ISO 8601 string, both UTC if without zone, or seconds since 1970.
Time = datetime | str | float


class Memory:
    """A long-term memory in one place, or the part of it that one scope may touch.

    ::

        mem = Memory("notes")                       # a folder; or ":memory:", or sqlite:///x.db
        mem.add("Booked the 9:40 to Lyon", user_id="ana")
        mem.recall("when is my train?", user_id="ana")[0].text

    On writing, a scope word that is not given is stored as "not said"; on reading, it matches
    anything. Usable from several threads; several processes may open one store.
    """

    def __init__(
        self,
        location: Location,
        *,
        model: Location | MemoryModel | None = None,
        keys: str = BUILTIN,
        reranker: str = BUILTIN,
        density: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
        keep_text: bool = False,
        create: bool = True,
        timeout_s: float = 30.0,
        max_chars: int = MAX_CHARS,
    ) -> None:
        """Open a store, or make one.

        Args:
            location: A folder, ``":memory:"``, or a SQLAlchemy URL of an SQLite file.
            model: A model bundle's folder, or a loaded one; None means the one that comes with
                the package.
            keys: What the search by meaning goes by: ``"builtin"``, the bundle's own keys; or
                ``"sentence-transformers:PLACE"``, a model by its folder, or by its name if it was
                downloaded before. A store keeps the keys that it was made with.
            reranker: What scores the best hits again: ``"builtin"``, the bundle's own; or the name
                of one given to `agentmem.models.register_reranker`. Nothing stored depends on it.
            density: How finely latents are quantised: one of the bundle's densities
                (``"standard"``, ``"dense"``), or ``"auto"``: for each chunk the coarsest that
                has the fidelity asked for, else the finest.
            min_fidelity: What ``"auto"`` asks for: the share of tokens, 0 to 1, that the latents
                alone must regenerate. With the patch, text is exact whatever the density.
            keep_text: Store the text beside the latents: reading is faster, and forgoes nothing
                but the bytes.
            create: Whether to make a store where nothing is.
            timeout_s: How long to wait for other writers, in seconds.
            max_chars: The longest text that `add` takes, in code points.

        Raises:
            StoreNotFoundError: nothing is there and ``create`` is False.
            NotAStoreError: something else is there.
            InputError: the keys are of an unknown kind, the bundle has no such density, or the
                fidelity is no share.
            IncompatibleModelError: the store belongs to another model bundle, or has other keys.
            ModelNotFoundError: there is no bundle at ``model``, or no model for the keys.
            MissingExtraError: the keys need sentence-transformers, which is not installed.
            StoreUnwritableError: the store cannot be made there.
        """
        self._model = load_model(model, keys, reranker)
        self._storing = Storing(density, min_fidelity, keep_text)
        self._storing.check(self._model)
        self._store = Store.open(
            location,
            model=self._model.fingerprint,
            key_dims=self._model.embedder.dims,
            create=create,
            timeout_s=timeout_s,
        )
        self._max_chars = max_chars
        self._bound = Scope()
        self._owns_store = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        words = {name: word for name, word in _words(self._bound).items() if word is not None}
        scope = "".join(f", {name}={word!r}" for name, word in words.items())
        return f"Memory({self._store.location!r}{scope})"

    def close(self) -> None:
        """Save the index cache and close the store. A scoped handle leaves its store open."""
        if self._owns_store:
            self._store.close()

    def scoped(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
    ) -> Memory:
        """A handle that is bound to a scope and cannot leave it, on the same open store.

        Raises:
            InputError: no scope word, or one that contradicts this handle's own.
        """
        scope = self._scope(user_id, agent_id, session_id)
        if scope == self._bound:
            raise InputError("scoped() needs a scope word that is not bound yet")
        handle = object.__new__(Memory)
        handle.__dict__.update(self.__dict__)
        handle._bound = scope
        handle._owns_store = False
        return handle

    def add(
        self,
        content: Content,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        created_at: Time | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_progress: Progress | None = None,
    ) -> Receipt:
        """Store messages or documents, all or none; when it returns they are durable.

        Args:
            content: A string, a message dict (OpenAI or Anthropic style), a `Message`, a
                `Document`, or an iterable of these.
            user_id: Whose memory it is.
            agent_id: Which agent's.
            session_id: Which conversation's.
            created_at: When it was said, for messages that carry no time of their own.
            metadata: JSON values to filter by; a message's own keys win.
            on_progress: Called with the numbers of chunks encoded and to encode.

        Raises:
            InputError: something cannot be stored; the message says which and why. Nothing was.
            StoreBusyError: another writer held the store for longer than the timeout.
            StoreUnwritableError: the store is read-only, or its disk is full. Nothing was written.
        """
        scope = self._scope(user_id, agent_id, session_id)
        normalised = normalise(
            content, created_at=created_at, metadata=metadata, max_chars=self._max_chars
        )
        hashes = [content_hash(part) for part in normalised.parts]
        known = self._store.known(hashes, scope)
        # Each new content is encoded once, however often the call repeats it; the first counts.
        fresh: dict[bytes, Part] = {}
        for digest, part in zip(hashes, normalised.parts, strict=True):
            fresh.setdefault(digest, part)
        sources = prepare(
            [part for digest, part in fresh.items() if digest not in known],
            self._model,
            storing=self._storing,
            now=datetime.now(UTC),
            on_progress=on_progress,
        )
        written = self._store.add(sources, scope) if sources else []
        places = known | {s.content_hash: w for s, w in zip(sources, written, strict=True)}
        new = [s for s, w in zip(sources, written, strict=True) if not w.duplicate]
        return write_receipt([places[h] for h in hashes], new, skipped=normalised.skipped)

    def recall(
        self,
        query: str,
        *,
        k: int = 8,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        mode: Mode = "hybrid",
        expand: Expand | None = None,
        rerank: Rerank | None = "auto",
        order: Order = "relevance",
        now: Time | None = None,
    ) -> Recall:
        """Find what fits a query best, inside a scope.

        A time in the query, such as "last May" or "two days ago", lifts what was said then and
        shuts nothing out; `agentmem.retrieval.dates` lists what is understood.

        Args:
            query: A question, or words.
            k: How many memories to find at most; what these bring by ``expand`` does not count.
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter such as ``{"channel": "web", "year": {"gte": 2001}}``; see
                `agentmem_storage.sql.filters`.
            since: Only what was said at or after this time.
            until: Only what was said before this time.
            mode: ``hybrid``, or one half of it: ``keys`` or ``lexical``, in which a time in the
                query is a word like others.
            expand: What each found memory brings, as far as scope, filter and times let it
                through: ``neighbours`` the memories right before and after it, ``episode`` up to
                16 others of its episode, the nearest. They follow it, and their ``expanded_from``
                names it.
            rerank: ``latent``: the best 64 are looked at again by the bundle's reranker, straight
                from their latents; ``auto``: where the bundle has one and the mode is ``hybrid``;
                None: never. See `agentmem.retrieval.rerank`.
            order: ``relevance``, the best first; or ``time``, the same hits in the order in which
                they were said, the oldest first.
            now: The present moment, for "yesterday" and the like in the query; its zone says when
                a day begins. By default the current time in UTC.

        Raises:
            InputError: the query is blank, ``k`` is not positive, or the mode, the expansion, the
                reranking or the order is unknown.
            ModelError: ``latent`` is asked for, and the bundle has no reranker.
            FilterError: the filter has an unknown operator or a wrong shape.
        """
        scope = self._scope(user_id, agent_id, session_id)
        selection = Selection(
            scope, where=where, since=check_time(since, "since"), until=check_time(until, "until")
        )
        present = check_moment(now, "now") or datetime.now(UTC)
        asked = Asked(query, k, selection, mode, expand, order, present, rerank)
        return recall(self._store, self._model, asked)

    def get(
        self,
        id: int,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
    ) -> Chunk:
        """One chunk by its id.

        Raises:
            UnknownIdError: no memory of this scope has that id.
        """
        return self._one(id, self._scope(user_id, agent_id, session_id))

    def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        source_id: int | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> Iterator[Chunk]:
        """All chunks of a scope by ascending id, read as the iteration goes; nothing is cut off.

        A damaged one is among them: its text raises CorruptRecordError.

        Raises:
            FilterError: the filter has an unknown operator or a wrong shape.
        """
        selection = Selection(
            self._scope(user_id, agent_id, session_id),
            source_ids=None if source_id is None else (source_id,),
            where=where,
            since=check_time(since, "since"),
            until=check_time(until, "until"),
        )
        return read_chunks(self._store, self._model, selection)

    def update(
        self,
        id: int,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
    ) -> Receipt:
        """Give the message or document that a chunk belongs to another text or other metadata.

        Its source id, scope, speaker and time stay; with a new text its chunks get new ids, and
        nothing of the old text is left in the store.

        Args:
            id: A chunk of it.
            text: The new text of the whole source; None leaves it.
            metadata: The new metadata, in place of the old; None leaves it.
            user_id: As in `recall`: an id outside the scope is unknown.
            agent_id: Likewise.
            session_id: Likewise.

        Raises:
            UnknownIdError: no memory of this scope has that id.
            InputError: nothing to change, the new text cannot be stored, or the scope has it
                already in another source.
        """
        if text is None and metadata is None:
            raise InputError("update() needs text= or metadata=")
        if text is not None and not isinstance(text, str):
            raise TypeError(f"text is a string, not {type(text).__name__}")
        chunk = self._one(id, self._scope(user_id, agent_id, session_id))
        old = chunk.source
        new_metadata = chunk.metadata if metadata is None else check_metadata(metadata, "metadata")
        if text is None:
            self._store.update_source(old.id, metadata=new_metadata)
            place = Written(old.id, old.chunk_ids, duplicate=False)
            return write_receipt([place], [])
        (new,) = normalise(text, max_chars=self._max_chars).parts
        part = replace(
            stored_part(self._store, self._model, old), text=new.text, metadata=new_metadata
        )
        source = prepare([part], self._model, storing=self._storing, now=old.created_at)[0]
        written = self._store.replace_source(old.id, source, self._terms(old.chunk_ids))
        if written.duplicate:
            raise InputError(
                f"this scope has that text already, in memory {written.chunk_ids[0]}: "
                f"forget one of them"
            )
        self._rebuild_stale_terms()
        return write_receipt([written], [source])

    def forget(
        self,
        ids: Iterable[int] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        where: Where | None = None,
        before: Time | None = None,
        dry_run: bool = False,
    ) -> ForgetReceipt:
        """Delete memories so that no byte of them is left in any file of the store.

        Everything given must hold of what is deleted. A scoped handle alone is no selector:
        ``mem.scoped(user_id="ana").forget()`` raises, ``mem.forget(user_id="ana")`` does not.

        Args:
            ids: Chunks.
            user_id: Only this user's.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter, as in `recall`.
            before: Only what was said before this time.
            dry_run: Only say what would go.

        Raises:
            InputError: nothing was selected, so that everything would go.
            UnknownIdError: an id is not in this scope; nothing was deleted.
        """
        # An empty filter lets everything through, so it selects nothing in particular.
        given = (ids, user_id, agent_id, session_id, where or None, before)
        if all(selector is None for selector in given):
            raise InputError(
                "forget() needs a selector: ids=, user_id=, agent_id=, session_id=, where= or "
                "before=; to forget everything, delete the store's folder"
            )
        scope = self._scope(user_id, agent_id, session_id)
        wanted = None if ids is None else tuple(dict.fromkeys(ids))
        selection = Selection(scope, ids=wanted, where=where, until=check_time(before, "before"))
        chosen = tuple(self._store.ids(selection).tolist())
        if wanted is not None:
            present = self._store.ids(Selection(scope, ids=wanted)).tolist()
            missing = sorted(set(wanted).difference(present))
            if missing:
                raise UnknownIdError(f"no memory of this scope has the id {missing[0]!r}")
        if dry_run or not chosen:
            return ForgetReceipt(chosen, 0, dry_run, purged=not dry_run)
        done = self._store.forget(chosen, self._terms(chosen))
        self._rebuild_stale_terms()
        return ForgetReceipt(chosen, done.sources, dry_run=False, purged=done.purged)

    def verify(self, *, on_progress: Progress | None = None) -> Verification:
        """Check the whole store: rows, checksums, and that every text comes back as it was.

        Args:
            on_progress: Called with the numbers of chunks checked and of all.
        """
        return verify(self._store, self._model, on_progress)

    def stats(self) -> Stats:
        """Sums over the whole store, whatever the scope of this handle."""
        found = self._store.stats()
        return Stats(
            memories=found.chunks,
            sources=found.sources,
            scopes=found.scopes,
            tokens=found.tokens,
            positions=found.positions,
            latent_bytes=found.latent_bytes,
            patch_bytes=found.patch_bytes,
            key_bytes=found.key_bytes,
            text_bytes=found.text_bytes,
            file_bytes=found.file_bytes,
            fidelity=tuple(zip(FIDELITY_EDGES, found.fidelity, strict=True)),
            model=self._model.name,
            fingerprint=self._model.fingerprint,
        )

    def regenerated(
        self,
        id: int,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
    ) -> str:
        """What a chunk's latents say by themselves, without the patch; compare with its text.

        Raises:
            UnknownIdError: no memory of this scope has that id.
            CorruptRecordError: its row is damaged.
        """
        chunk = self._one(id, self._scope(user_id, agent_id, session_id))
        return regenerated_texts(self._model, [chunk.record], patched=False)[0]

    def reindex(self) -> None:
        """Make the search index and the lexical index again from the rows."""
        self._store.rebuild_index()
        rebuild_terms(self._store, self._model)

    def _scope(self, user_id: str | None, agent_id: str | None, session_id: str | None) -> Scope:
        """The given words joined with the bound ones, which cannot be changed."""
        words = {"user_id": user_id, "agent_id": agent_id, "session_id": session_id}
        for name, bound in _words(self._bound).items():
            given = words[name]
            if given is not None and not isinstance(given, str):
                raise TypeError(f"{name} is a string, not {given!r}")
            if given == "":
                raise InputError(f"{name}='' says nothing: leave it out, or name somebody")
            check_unicode(given or "", name)
            if bound is not None and given not in (None, bound):
                raise InputError(f"this handle is bound to {name}={bound!r}, not {given!r}")
            words[name] = bound or given
        return Scope(**words)

    def _one(self, id: int, scope: Scope) -> Chunk:
        selection = Selection(scope, ids=(id,))
        found = next(read_chunks(self._store, self._model, selection), None)
        if found is None:
            raise UnknownIdError(f"no memory of this scope has the id {id!r}")
        return found

    def _terms(self, ids: tuple[int, ...]) -> dict[int, str]:
        return lexical_terms(self._store, self._model, Selection(ids=ids))

    def _rebuild_stale_terms(self) -> None:
        if self._store.terms_stale:
            rebuild_terms(self._store, self._model)


def _words(scope: Scope) -> dict[str, str | None]:
    return {
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "session_id": scope.session_id,
    }
