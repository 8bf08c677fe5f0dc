"""`Memory`, the public facade: validates arguments and delegates to the packages below."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from agentmem.errors import FilterError, InputError, StoreError
from agentmem.ingest.checks import (
    MAX_CHARS,
    check_metadata,
    check_moment,
    check_page,
    check_time,
)
from agentmem.ingest.encode import EncodingOptions, Progress, Quantization
from agentmem.ingest.expiry import expiry_time, without_expired
from agentmem.ingest.threads import thread_count
from agentmem.maintenance import indexed_texts, rebuild_stale_terms, rebuild_terms, verify
from agentmem.models.base import BUILTIN, MIN_FIDELITY, MemoryModel
from agentmem.models.bundle.runtimes import Runtime
from agentmem.opening import open_store
from agentmem.results import (
    BackupReceipt,
    Conflict,
    ExportReceipt,
    ForgetReceipt,
    LoadReceipt,
    Migration,
    Preparation,
    Receipt,
    Repair,
    ScopeUse,
    Stats,
    Verification,
    make_stats,
    write_receipt,
)
from agentmem.scopes import ANY, Binding, ReadId, WriteId, check_require
from agentmem.types import Content
from agentmem_storage.numbers import as_int
from agentmem_storage.records import ANY_SCOPE, UNSET, Scope, Selection, Unset
from agentmem_storage.store import STATES_BYTES
from agentmem_storage.text import shown
from agentmem_storage.timestamps import utc_now

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.chat.reader import MemoryReader
    from agentmem.chat.session import Session
    from agentmem.chat.tools import ToolFormat, Tools
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.context.source import Source
    from agentmem.context.timeline import Episode
    from agentmem.ingest.normalize import Normalized
    from agentmem.retrieval.query import Expand, Mode, Order, Prefer, Rerank

Location = str | os.PathLike[str]
Where = Mapping[str, Any]
# A datetime, date or ISO 8601 string, UTC if without zone, or seconds since 1970.
Time = datetime | date | np.datetime64 | str | float


class Memory:
    """A long-term memory in one store, or the part of it that a scope can access.

    ::

        mem = Memory("notes")                       # a folder; or ":memory:", or sqlite:///x.db
        mem.add("Booked the 9:40 to Lyon", user_id="ana")
        mem.recall("when is my train?", user_id="ana")[0].text

    On writing, an omitted scope id is stored as unspecified. On reading, it matches anything, as
    ``ANY`` does explicitly; None is refused, because a user id that is missing by mistake must not
    select the memories of everybody. In a service with many users, hand out scoped handles, or
    open the store with ``require=("user_id",)``.
    Safe to use from several threads, and several processes may open the same store. A Memory that
    is sent to another process opens the store again there.
    """

    def __init__(
        self,
        location: Location,
        *,
        model: Location | MemoryModel | None = None,
        embedder: str = BUILTIN,
        reranker: str = BUILTIN,
        runtime: Runtime | None = None,
        quantization: Quantization = "auto",
        min_fidelity: float = MIN_FIDELITY,
        keep_text: bool = False,
        create: bool = True,
        timeout_s: float = 30.0,
        max_chars: int = MAX_CHARS,
        cache_bytes: int = STATES_BYTES,
        require: Sequence[str] = (),
        preload: bool = False,
        threads: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_progress: Progress | None = None,
    ) -> None:
        """Open a store, creating it if necessary.

        The networks of the bundle are loaded when a text is first encoded, decoded or embedded:
        `stats`, `backup`, ``verify(decode=False)``, and `list` and `forget` of a store with texts
        need none.

        Args:
            location: A folder, ``":memory:"``, or a SQLAlchemy URL of an SQLite file.
            model: The folder of a model bundle, or a loaded model; None means the bundle that comes
                with the package, or for a store that was written with another one, that one, if
                `agentmem.models.bundle.find` finds it.
            embedder: The model whose embeddings are searched: ``"builtin"``, the bundle's own;
                ``"tiny"``, its smaller one, which takes less time and space and finds less; or
                ``"sentence-transformers:MODEL"``, where MODEL is a folder or the name of a model
                that has already been downloaded. A store is bound to the embedder it was created
                with; one that was created with the tiny one opens with ``"builtin"`` too.
            reranker: The model that scores the best candidates again: ``"builtin"``, the bundle's
                own; or the name of one registered with `agentmem.models.register_reranker`.
                Nothing stored depends on it.
            runtime: The library that computes the autoencoder, the reranker and the tiny embedder:
                ``"numpy"``, which is what None means, or ``"torch"``, the reference, which the
                extra ``[reader]`` installs. What is stored and found is the same.
            quantization: How finely latents are quantized: ``"fine"``, ``"coarse"`` (fewer
                bytes), or ``"auto"``: for each chunk the coarsest setting that reaches
                ``min_fidelity``, or the finest if none does.
            min_fidelity: The fidelity that ``"auto"`` requires: the share of tokens, 0 to 1, that
                the latents alone must regenerate. Recalled text is exact in any case, thanks to
                the patch.
            keep_text: Also store the text, which makes reading faster and the store larger.
            create: Whether to create the store if it does not exist.
            timeout_s: How long to wait for other writers, in seconds.
            max_chars: The longest text that `add` accepts, in code points.
            cache_bytes: The most that is kept of readers' states of memories, in a file beside the
                store's own; see `prepare`. Those that were used least recently are dropped for
                others. 0 keeps none.
            require: Names of scope ids without which every call raises InputError, such as
                ``("user_id",)``. A scoped handle gives those it is bound to; on reading,
                ``agentmem.ANY`` counts as given.
            preload: Load the networks now: for a service, whose first request must not wait for
                them, and for a process that forks others, which then share them.
            threads: How many threads encode what is added, at most; texts of less than 256 chunks
                need one. None: as many as the environment variable ``AGENTMEM_THREADS`` says, or
                one for each core that this process may use, but not more than four. What is stored
                does not depend on it, and the program's own threads, of BLAS and of torch, stay as
                they are.
            clock: Returns the current time, with a zone: when something is added without a time,
                and when something expires. For tests.
            on_progress: Called with the number of chunks indexed so far and the total, if the
                lexical index has to be rebuilt, as after an upgrade.

        Raises:
            StoreNotFoundError: there is no store at ``location`` and ``create`` is False.
            NotAStoreError: ``location`` holds something else.
            InputError: the embedder, the runtime, the quantization or a required id is unknown, a
                runtime is given for a loaded model, ``min_fidelity`` is not between 0 and 1,
                ``max_chars`` or ``threads`` is not positive, or ``cache_bytes`` is negative.
            IncompatibleModelError: the store was created with another model bundle, which was not
                found, or with another embedder. The message says how to `migrate` it.
            ModelNotFoundError: there is no bundle at ``model``, or the embedder is not installed.
            MissingExtraError: the embedder needs sentence-transformers, or the runtime torch, which
                is not installed.
            StoreUnwritableError: the store cannot be created there.
        """
        max_chars = as_int(max_chars, "max_chars")
        if max_chars < 1:
            raise InputError(f"max_chars must be 1 or more, got {max_chars!r}")
        cache_bytes = as_int(cache_bytes, "cache_bytes")
        if cache_bytes < 0:
            raise InputError(f"cache_bytes must be 0 or more, got {cache_bytes!r}")
        self._binding = Binding(required=check_require(require))
        options = EncodingOptions(quantization, min_fidelity, keep_text, thread_count(threads))
        self._opened_with: dict[str, Any] = {
            "location": _absolute(location),
            "model": model,
            "embedder": embedder,
            "reranker": reranker,
            "runtime": runtime,
            "quantization": quantization,
            "min_fidelity": min_fidelity,
            "keep_text": keep_text,
            "timeout_s": timeout_s,
            "max_chars": max_chars,
            "require": self._binding.required,
            "cache_bytes": cache_bytes,
            "threads": threads,
            "clock": clock,
        }
        self._clock = clock
        self._options = options
        self._model, self._store = open_store(
            location,
            model,
            embedder=embedder,
            reranker=reranker,
            runtime=runtime,
            preload=preload,
            create=create,
            timeout_s=timeout_s,
            states_bytes=cache_bytes,
            clock=clock,
        )
        self._max_chars = max_chars
        self._owns_store = True
        # Also after an upgrade: an index of an older version is emptied when the store is opened.
        rebuild_stale_terms(self._store, self._model, on_progress)

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
        bound = f", {self._binding}" if self._binding.scope != ANY_SCOPE else ""
        return f"Memory({self._store.location!r}{bound})"

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process is how the store was opened; it opens it again there.

        Raises:
            StoreError: that process could not, because the store is in memory, or the model is a
                loaded one.
        """
        opened_with = self._opened_with
        if opened_with["location"] == ":memory:":
            raise StoreError("a store in memory belongs to its process: use a folder to share it")
        if not isinstance(opened_with["model"], str | os.PathLike | None):
            raise StoreError(
                "this Memory has a loaded model, which another process does not have: open it with "
                "model= as a folder, or in the other process"
            )
        return _reopened, (opened_with, self._binding)

    def close(self) -> None:
        """Save the index cache and close the store; closing a scoped handle does nothing."""
        if self._owns_store:
            self._store.close()

    def scoped(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Memory:
        """A handle on the same open store that is bound to a scope and cannot leave it.

        Raises:
            InputError: no scope id is given, or one that is None, `ANY`, or contradicts this
                handle's own.
        """
        binding = self._binding.narrowed(user_id, agent_id, session_id)
        handle = object.__new__(Memory)
        handle.__dict__.update(self.__dict__)
        handle._binding = binding
        handle._owns_store = False
        return handle

    def session(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Session:
        """A conversation that remembers: what to send to a model, and what to keep of it.

        It writes to the scope of these ids, and recalls from all conversations of that user and
        agent. With a ``session_id``, what was said is told for certain from what was sent again,
        also if several conversations go on at the same time.

        ::

            session = mem.session(user_id="ana", session_id="2026-05-03")
            reply = generate(session.context(messages))
            session.observe(messages, reply)

        Raises:
            InputError: a scope id is None, empty, `ANY`, contradicts this handle's own, or is
                required and not given.
        """
        from agentmem.chat.session import Session

        scope = self._binding.conversing(user_id, agent_id, session_id)
        others = ANY if self._binding.scope.session_id is None else UNSET
        recall = partial(self.recall, user_id=user_id, agent_id=agent_id, session_id=others)
        return Session(recall, self._write, scope=scope, max_chars=self._max_chars)

    def as_tools(self, format: ToolFormat = "openai") -> Tools:
        """Tools remember, recall and forget, with which a model uses this memory itself.

        They keep to the scope of a scoped handle. They are those of the MCP server.

        ::

            tools = mem.scoped(user_id="ana").as_tools("openai")
            reply = client.chat.completions.create(tools=tools.definitions, ...)
            for call in reply.choices[0].message.tool_calls or ():
                text = tools.call_tool(call.function.name, call.function.arguments)

        Args:
            format: What the definitions are for: ``openai`` for chat completions, ``responses``,
                or ``anthropic``.

        Raises:
            InputError: the format is unknown.
        """
        from agentmem.chat.tools import Tools

        return Tools(self, format)

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

    def recall(
        self,
        query: str,
        *,
        k: int = 8,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        mode: Mode = "hybrid",
        expand: Expand | None = None,
        rerank: Rerank | None = "auto",
        min_relevance: float | None = None,
        order: Order = "relevance",
        prefer: Prefer = "auto",
        now: Time | None = None,
    ) -> Recall:
        """Find the memories of a scope that match a query best.

        A time in the query, such as "last May" or "two days ago", boosts memories of that time
        and excludes none; `agentmem.retrieval.dates` lists the supported expressions.

        Args:
            query: A question or keywords.
            k: Maximum number of memories to find, not counting those added by ``expand``.
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            where: A filter such as ``{"channel": "web", "year": {"gte": 2001}}``; see
                `agentmem_storage.sql.filters`.
            since: Only memories from this time or later.
            until: Only memories from before this time.
            mode: ``hybrid``, or ``vector`` or ``lexical`` search alone; these treat a time in the
                query as ordinary words.
            expand: Adds context to each memory found, within the scope, filter and times:
                ``neighbors`` what was said directly before and after it, ``episode`` up to 16
                others of its episode, nearest first. They follow it, and their ``expanded_from``
                is its id.
            rerank: ``latent``: the bundle's reranker scores the best 64 candidates again, from
                their latents; ``auto``: if the mode is ``hybrid``, and the store has a reranker of
                your own or the tiny embedder; None: never. See `agentmem.retrieval.rerank`.
            min_relevance: Of the memories found, only those whose relevance is at least this, 0 to
                1, and what ``expand`` adds to them; none, if nothing fits.
            order: ``relevance``, best first; or ``time``, the same hits in chronological order.
            prefer: Which of several memories that supersede each other comes first: ``latest``;
                ``auto``: the latest, unless the question is about before ("used to",
                "previously") or names a time; ``any``: as they score. See
                `agentmem.retrieval.succession`.
            now: The current time, for "yesterday" and the like in the query; its zone determines
                when a day begins. By default the current time in UTC.

        Raises:
            InputError: the query is blank, a scope id is None or empty, ``k`` is not positive,
                ``min_relevance`` is not from 0 to 1, or the mode, expansion, reranking, order or
                preference is unknown.
            ModelError: ``latent`` is requested, and the bundle has no reranker.
            FilterError: the filter has an unknown operator or is malformed.
        """
        from agentmem.context.lookup import run_recall
        from agentmem.retrieval.query import RecallQuery

        scope = self._binding.reading(user_id, agent_id, session_id)
        selection = Selection(
            scope, where=where, since=check_time(since, "since"), until=check_time(until, "until")
        )
        present = check_moment(now, "now") or self._clock()
        recall_query = RecallQuery(
            query, k, selection, mode, expand, order, present, rerank, min_relevance, prefer
        )
        return run_recall(self._store, self._model, recall_query)

    def get(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Chunk:
        """Return one chunk by its id.

        Raises:
            UnknownIdError: no memory of this scope has that id.
        """
        return self._one(id, self._binding.reading(user_id, agent_id, session_id))

    def get_source(
        self,
        id: int | str,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Source:
        """Return a message or document as a whole, from its chunks.

        ::

            mem.get_source(hits[0].source.id).text
            mem.get_source("door-code", user_id="ana").text

        Args:
            id: Its source id, as `Receipt.sources` and ``chunk.source.id`` have it; or as a string
                its external id, which `add` was given.
            user_id: As in `recall`: an id outside the scope is unknown.
            agent_id: Likewise.
            session_id: Likewise.

        Raises:
            UnknownIdError: no message or document of this scope has that id.
            InputError: several scopes have that external id.
            CorruptRecordError: a chunk of it is damaged.
        """
        from agentmem.context.source import load_source

        scope = self._binding.reading(user_id, agent_id, session_id)
        return load_source(self._store, self._model, scope, id)

    def scopes(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[ScopeUse, ...]:
        """The users, agents and sessions that have memories, the last used first.

        One entry for each combination that something was written to.

        Args:
            user_id: Only this user's, such as all sessions of a user.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
        """
        found = self._store.scopes(self._binding.reading(user_id, agent_id, session_id))
        uses = [
            ScopeUse(
                one.scope.user_id,
                one.scope.agent_id,
                one.scope.session_id,
                memories=one.chunks,
                sources=one.sources,
                last_added=one.last_added,
            )
            for one in found
        ]
        latest = datetime.min.replace(tzinfo=UTC)
        return tuple(sorted(uses, key=lambda use: use.last_added or latest, reverse=True))

    def episodes(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        limit: int = 20,
        before: int | None = None,
    ) -> tuple[Episode, ...]:
        """Runs of memories that are close in time and topic, the last added first.

        ::

            latest = mem.episodes(user_id="ana", limit=5)
            earlier = mem.episodes(user_id="ana", limit=5, before=latest[-1].newest)

        Args:
            user_id: Only this user's.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
            limit: How many at most.
            before: Only episodes to which nothing was added since the memory with this id; it is
                the ``newest`` of an episode.

        Raises:
            InputError: the limit is not positive.
        """
        from agentmem.context.timeline import load_episodes

        scope = self._binding.reading(user_id, agent_id, session_id)
        return load_episodes(self._store, self._model, scope, limit=limit, before=before)

    def count(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        source_id: int | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> int:
        """How many memories `list` would return, without reading them.

        Raises:
            FilterError: the filter has an unknown operator or is malformed.
        """
        scope = self._binding.reading(user_id, agent_id, session_id)
        return self._store.count(_listed(scope, source_id, where, since, until))

    def list(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        source_id: int | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        after: int | None = None,
    ) -> Iterator[Chunk]:
        """Iterate over the chunks of a scope in the order they were added, reading them lazily.

        ``newest_first`` begins with what was added last. For pages, ``limit`` is the most that are
        listed, and ``after`` the id of the last chunk of the page before: also if its text has been
        replaced since, pages neither overlap nor leave anything out.

        A message keeps its place when its text is replaced. What is added or replaced during the
        iteration is not included, so `update` and `forget` may be called for each chunk. Damaged
        chunks are included; reading their text raises CorruptRecordError.

        Raises:
            InputError: ``limit`` is negative.
            FilterError: the filter has an unknown operator or is malformed.
            UnknownIdError: ``after`` has been forgotten, or is of another scope.
        """
        from agentmem.context.load import load_chunks

        scope = self._binding.reading(user_id, agent_id, session_id)
        selection = _listed(scope, source_id, where, since, until)
        page = check_page(after, limit, newest_first=newest_first)
        return load_chunks(self._store, self._model, selection, page)

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
        return update(
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

        scope = self._binding.reading(user_id, agent_id, session_id)
        earlier, later = self._one(old, scope), self._one(new, scope)
        if undo:
            separate(self._store, earlier, later)
        else:
            self._store.supersede(earlier.source.id, later.source.id)

    def history(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[Source, ...]:
        """The messages or documents of a scope that one superseded, and that supersede it.

        In order, the first of them first, with itself among them; candidates do not count.

        Args:
            id: One of its chunks.
            user_id: As in `recall`: an id outside the scope is unknown.
            agent_id: Likewise.
            session_id: Likewise.

        Raises:
            UnknownIdError: no memory of this scope has that id.
            CorruptRecordError: a chunk of one is damaged.
        """
        from agentmem.superseding import history

        scope = self._binding.reading(user_id, agent_id, session_id)
        return history(self._store, self._model, scope, self._one(id, scope).source.id)

    def conflicts(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[Conflict, ...]:
        """Pairs of memories that seem to contradict each other, the likeliest first.

        They are found when memories are added, see `agentmem.contradictions`, and nothing is
        deleted for it. ``supersede(old, new)`` confirms one, and with ``undo=True`` dismisses it.

        Args:
            user_id: Only this user's.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
        """
        from agentmem.superseding import conflicts

        scope = self._binding.reading(user_id, agent_id, session_id)
        return conflicts(self._store, self._store.link_candidates(scope))

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

        Raises:
            InputError: a condition is None, or there is none, so that everything would be deleted;
                or several scopes have one of the external ids.
            FilterError: the filter is malformed, or has no condition, such as ``{"and": []}``.
            TypeError: ``ids`` is no iterable of integers or of strings, such as one integer, a
                receipt or bytes.
            UnknownIdError: an id is not in this scope; nothing was deleted.
        """
        from agentmem.editing import forget

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
            where=None if isinstance(where, Unset) else where,
            until=None if isinstance(before, Unset) else check_time(before, "before"),
            expired=None,
        )
        return forget(self._store, self._model, selection, ids, dry_run=dry_run)

    def gc(self, *, dry_run: bool = False) -> ForgetReceipt:
        """Erase what has expired, so that no byte of it remains in any file of the store.

        Expired memories are in no result, but in the files until then. It costs what `forget`
        costs, and nothing if nothing has expired.

        Args:
            dry_run: Only report what would be erased.
        """
        from agentmem.editing import collect_garbage

        scope = self._binding.scope
        return collect_garbage(self._store, self._model, scope, dry_run=dry_run)

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
        if self._binding.scope != ANY_SCOPE:
            raise InputError(
                f"repair() is for the complete store: call it on the Memory that was opened, not "
                f"on {self!r}"
            )
        from agentmem.repairing import repair

        return repair(self._store, self._model, on_progress)

    def backup(self, path: Location, *, on_progress: Progress | None = None) -> BackupReceipt:
        """Copy the complete store to a new folder, while others read and write it.

        The copy is the store as it was at one moment, and `Memory` opens it like any other.

        Args:
            path: A new or an empty folder. If the copy fails, it is left as it was.
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
        copied = self._store.backup(path, on_progress)
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
            on_progress: Called with the number of chunks encoded so far and the total.

        Raises:
            StoreNotFoundError: there is no store at ``location``.
            IncompatibleModelError: the bundle that it was written with was not found.
            CorruptRecordError: memories are damaged, which the message names; nothing was changed.
            StoreBusyError: others hold the lock for too long, or keep adding.
            StoreUnwritableError: the store or ``keep_old`` cannot be written.
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
            passphrase: Encrypts the file, with AES-256-GCM and a key made by scrypt.
            on_progress: Called with the number of memories written so far and the total.

        Raises:
            InputError: there is something at ``path``, or the passphrase is empty.
            FilterError: a filter has an unknown operator or is malformed.
            CorruptRecordError: a memory is damaged; `verify` lists all damage.
            StoreUnwritableError: the file cannot be written.
            MissingExtraError: a passphrase is given, and ``cryptography`` is not installed.
        """
        from agentmem.portable import export_file

        scope = self._binding.reading(user_id, agent_id, session_id)
        return export_file(
            self._store,
            self._model,
            path,
            _listed(scope, None, where, since, until),
            without=None if without is None else Selection(scope, where=without),
            passphrase=passphrase,
            on_progress=on_progress,
        )

    def load(
        self,
        path: Location,
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
            path: The file.
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

    def stats(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Stats:
        """Totals of a scope, without one of the complete store.

        Args:
            user_id: Only this user's memories.
            agent_id: Only this agent's.
            session_id: Only this conversation's.
        """
        scope = self._binding.reading(user_id, agent_id, session_id)
        return make_stats(self._store.stats(scope), self._model.name, self._model.fingerprint)

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

        selection = Selection(
            self._binding.reading(user_id, agent_id, session_id),
            where=where,
            since=check_time(since, "since"),
            until=check_time(until, "until"),
        )
        return prepare(
            self._store, self._model, reader, selection, zone=zone, on_progress=on_progress
        )

    def regenerated(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> str:
        """The text that a chunk's latents regenerate without the patch; compare it with its text.

        Raises:
            UnknownIdError: no memory of this scope has that id.
            CorruptRecordError: its row is damaged.
        """
        from agentmem.context.decode import regenerated_texts

        chunk = self._one(id, self._binding.reading(user_id, agent_id, session_id))
        return regenerated_texts(self._model, self._store.chunks([chunk.id]), patched=False)[0]

    def reindex(self) -> None:
        """Rebuild the vector index and the lexical index of the store from the rows.

        Raises:
            InputError: this is a scoped handle, and the indexes are of the complete store.
        """
        if self._binding.scope != ANY_SCOPE:
            raise InputError(
                f"reindex() is for the complete store: call it on the Memory that was opened, not "
                f"on {self!r}"
            )
        self._store.rebuild_index()
        rebuild_terms(self._store, self._model)

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
        given = sorted(zip(normalized.places, written, strict=True), key=itemgetter(0))
        return write_receipt(
            [one for _, one in given],
            new,
            skipped=normalized.skipped,
            conflicts=conflicts(self._store, links) if links else (),
        )

    def _one(self, id: int, scope: Scope) -> Chunk:
        from agentmem.context.load import load_chunks
        from agentmem.editing import unknown_id

        selection = Selection(scope, ids=(id,))
        found = next(load_chunks(self._store, self._model, selection), None)
        if found is None:
            raise unknown_id(self._store, scope, id)
        return found


def _listed(
    scope: Scope,
    source_id: int | None,
    where: Where | None,
    since: Time | None,
    until: Time | None,
) -> Selection:
    """What `Memory.list` and `Memory.count` select."""
    return Selection(
        scope,
        source_ids=None if source_id is None else (source_id,),
        where=where,
        since=check_time(since, "since"),
        until=check_time(until, "until"),
    )


def _absolute(location: Location) -> Location:
    """A location that is the same from any working directory; URLs as they are."""
    if isinstance(location, str) and (location == ":memory:" or "://" in location):
        return location
    return os.path.abspath(os.path.expanduser(location))


def _reopened(opened_with: Mapping[str, Any], binding: Binding) -> Memory:
    """The store of a Memory that was sent here from another process."""
    memory = Memory(**opened_with, create=False)
    if binding.scope == ANY_SCOPE:
        return memory
    ids = {name: id for name, id in asdict(binding.scope).items() if id is not None}
    return memory.scoped(**ids)
