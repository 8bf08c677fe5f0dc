"""`Memory`, the public facade: opens a store and hands out the verbs of `agentmem.verbs`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agentmem.errors import InputError, StoreError
from agentmem.ingest.checks import (
    MAX_CHARS,
    check_flag,
)
from agentmem.ingest.encode import EncodingOptions, Progress, Quantization
from agentmem.ingest.threads import thread_count
from agentmem.maintenance import rebuild_stale_terms
from agentmem.models.base import BUILTIN, MIN_FIDELITY, MemoryModel
from agentmem.models.bundle.runtimes import Runtime
from agentmem.opening import GivenKey, checked_clock, index_choice, open_store
from agentmem.scopes import ANY, Binding, ReadId, check_require
from agentmem_storage.encryption.master import Key
from agentmem_storage.numbers import as_int
from agentmem_storage.records import ANY_SCOPE, UNSET, Purging
from agentmem_storage.store import STATES_BYTES
from agentmem_storage.timestamps import utc_now

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.chat.session import Session
    from agentmem.chat.tools import ToolFormat, Tools

from agentmem.verbs.disclosing import DisclosingVerbs
from agentmem.verbs.handle import Location
from agentmem.verbs.hooks import Hooks, OnAdd, OnForget
from agentmem.verbs.incrementing import IncrementingVerbs
from agentmem.verbs.keys import KeyVerbs
from agentmem.verbs.reading import ReadingVerbs
from agentmem.verbs.upkeep import UpkeepVerbs
from agentmem.verbs.writing import WritingVerbs
from agentmem.workers import Later


class Memory(ReadingVerbs, WritingVerbs, UpkeepVerbs, IncrementingVerbs, KeyVerbs, DisclosingVerbs):
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
        index: str | None = None,
        audit: bool | None = None,
        purge: Purging = "now",
        key: Key | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_add: OnAdd | None = None,
        on_forget: OnForget | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Open a store, creating it if necessary.

        The networks of the bundle are loaded when a text is first encoded, decoded or embedded:
        `stats`, `backup`, ``verify(decode=False)``, and `list` and `forget` of a store with texts
        need none.

        Args:
            location: A folder, ``":memory:"``, or a SQLAlchemy URL of an SQLite file or of a
                PostgreSQL database, as in ``"postgresql://ana@db.example.org/notes"``, which needs
                the extra ``[postgres]``.
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
            preload: Load the networks and the vector index now: for a service, whose first request
                must not wait for them, and for a process that forks others, which then share them.
            threads: How many threads encode what is added, at most; texts of less than 256 chunks
                need one. None: as many as the environment variable ``AGENTMEM_THREADS`` says, or
                one for each core that this process may use, but not more than four. What is stored
                does not depend on it, and the program's own threads, of BLAS and of torch, stay as
                they are.
            index: What searches embeddings: ``"auto"``, FAISS if it is installed, else NumPy;
                ``"faiss"``; ``"exact"``, which compares all of them; or a Milvus beside the store,
                ``"milvus+"`` and its address, as in ``"milvus+http://localhost:19530"``, which
                needs the extra ``[milvus]``: every process that opens the store has to give the
                same. None: what the environment variable ``AGENTMEM_INDEX`` says, or ``"auto"``.
            audit: Whether the store keeps an audit log from now on, for all processes: whose
                memories were added, changed and forgotten, and when; see `audit`. None: as before;
                a new store keeps none.
            purge: When the bytes of what was forgotten or replaced are removed from the files:
                ``"now"``, before the call returns, which takes the longer the larger the store is;
                or ``"later"``, by `purge`. No call finds it in between.
            key: The master key of an encrypted store; a new store is encrypted if one is given.
                The path of a file with 32 random bytes, which is kept elsewhere; or these bytes; or
                a function that returns them, such as a call of the system's keyring or of a key
                management service. An encrypted store is a folder, and in memory while it is open:
                the page Encryption of the documentation says what that protects and costs.
            clock: Returns the current time, with a zone: when something is added without a time,
                and when something expires. For tests.
            on_add: Called with the `Receipt` of each `add`, `update` and observed turn of a session
                by which something was written: after it is durable, in the thread that wrote. What
                it raises is logged, and costs nothing. Not called for `load` and `migrate`, nor for
                what other processes write.
            on_forget: Likewise, with the `ForgetReceipt` of each `forget` and `gc` by which
                something was deleted.
            on_progress: Called with the number of chunks indexed so far and the total, if the
                lexical index has to be rebuilt, as after an upgrade.

        Raises:
            StoreNotFoundError: there is no store at ``location`` and ``create`` is False.
            NotAStoreError: ``location`` holds something else.
            InputError: the embedder, the runtime, the quantization, ``purge``, ``index`` or a
                required id is unknown, the index is a Milvus and the store encrypted or in memory,
                a runtime is given for a loaded model, ``min_fidelity`` is not between 0 and 1,
                ``max_chars`` or ``threads`` is not positive, ``cache_bytes`` is negative, or
                ``on_add`` or ``on_forget`` is no function, or one that has to be awaited.
            IncompatibleModelError: the store was created with another model bundle, which was not
                found, or with another embedder. The message says how to `migrate` it.
            ModelNotFoundError: there is no bundle at ``model``, or the embedder is not installed.
            MissingExtraError: the embedder needs sentence-transformers, the runtime torch, the
                index its library, or an encrypted store ``cryptography``, which is not installed.
            KeyRequiredError: the store is encrypted, and there is no key.
            WrongKeyError: it has another key.
            KeyRingError: its key ring, ``keys.db``, is missing, damaged or an older copy.
            StoreKeyError: the key cannot be read, or is none.
            StoreIncompleteError: a file of the store is missing, or older than the others.
            StoreUnwritableError: the store cannot be created there.
        """
        create, keep_text = check_flag(create, "create"), check_flag(keep_text, "keep_text")
        preload = check_flag(preload, "preload")
        audit = None if audit is None else check_flag(audit, "audit")
        max_chars = as_int(max_chars, "max_chars")
        if max_chars < 1:
            raise InputError(f"max_chars must be 1 or more, got {max_chars!r}")
        cache_bytes = as_int(cache_bytes, "cache_bytes")
        if cache_bytes < 0:
            raise InputError(f"cache_bytes must be 0 or more, got {cache_bytes!r}")
        self._binding = Binding(required=check_require(require))
        self._hooks = Hooks(on_add, on_forget)
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
            "index": index,
            "purge": purge,
            "clock": clock,
            "on_add": on_add,
            "on_forget": on_forget,
        }
        self._given_key = GivenKey(key)
        self._clock = checked_clock(clock)
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
            index=index_choice(index),
            states_bytes=cache_bytes,
            purge=purge,
            key=key,
            clock=self._clock,
        )
        self._max_chars = max_chars
        self._owns_store = True
        self._later = Later()
        if audit is not None:
            self._store.keep_audit(audit)
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
            StoreError: that process could not, because the store is in memory, the model is a
                loaded one, or the key is not in a file: keys are sent nowhere.
        """
        opened_with = self._opened_with
        if opened_with["location"] == ":memory:":
            raise StoreError("a store in memory belongs to its process: use a folder to share it")
        if not isinstance(opened_with["model"], str | os.PathLike | None):
            raise StoreError(
                "this Memory has a loaded model, which another process does not have: open it with "
                "model= as a folder, or in the other process"
            )
        if not self._given_key.sendable:
            raise StoreError(
                "the key of this store is not sent to another process: open it with key= as the "
                "path of a file, or in the other process"
            )
        return _reopened, (opened_with, self._binding, self._given_key.file)

    def close(self) -> None:
        """Close the store, once all that sessions were given is in it, and the index is saved.

        Closing a scoped handle does nothing.
        """
        if self._owns_store:
            self._later.finish()
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
        agent. With a ``session_id``, it tells what was said again from what was only sent again,
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
        return Session(
            recall, self._write, scope=scope, max_chars=self._max_chars, later=self._later
        )

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
            InputError: the format is unknown, or an id that is required is not bound.
        """
        from agentmem.chat.tools import Tools

        self._binding.check_bound("as_tools")
        return Tools(self, format)


def _absolute(location: Location) -> Location:
    """A location that is the same from any working directory; URLs as they are."""
    if isinstance(location, str) and (location == ":memory:" or "://" in location):
        return location
    return os.path.abspath(os.path.expanduser(location))


def _reopened(
    opened_with: Mapping[str, Any], binding: Binding, key_file: str | None = None
) -> Memory:
    """The store of a Memory that was sent here from another process."""
    memory = Memory(**opened_with, create=False, key=key_file)
    if binding.scope == ANY_SCOPE:
        return memory
    ids = {name: id for name, id in asdict(binding.scope).items() if id is not None}
    return memory.scoped(**ids)
