"""The verbs that read: recall, lists and totals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentmem.ingest.checks import check_moment, check_page
from agentmem.results import (
    Conflict,
    ScopeUse,
    Stats,
    make_stats,
)
from agentmem.scopes import ReadId
from agentmem_storage.records import UNSET

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.context.source import Source
    from agentmem.context.timeline import Episode
    from agentmem.retrieval.query import Expand, Mode, Order, Prefer, Rerank

from agentmem.verbs.handle import Handle, Time, Where, listed


class ReadingVerbs(Handle):
    """What reads memories and changes nothing."""

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
                `agentmem_storage.sql.where.filters`.
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
        selection = listed(scope, None, where, since, until)
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
            CorruptRecordError: its row cannot be read.
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
        return self._store.count(listed(scope, source_id, where, since, until))

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
        selection = listed(scope, source_id, where, since, until)
        page = check_page(after, limit, newest_first=newest_first)
        return load_chunks(self._store, self._model, selection, page)

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
