"""Large stores: LoCoMo's turns, each session of it a session, again and again for further users.

A turn is encoded and verified once; for further users its rows are written by the store alone,
which takes minutes where encoding them all would take hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentmem.evaluation.conversations import Conversation
from agentmem.evaluation.datasets import read_conversations
from agentmem.ingest.encode import EncodingOptions, prepare
from agentmem.ingest.normalize import normalize
from agentmem.models.base import MemoryModel
from agentmem_storage.records import NewSource, Scope
from agentmem_storage.store import Store
from agentmem_storage.timestamps import utc_now


@dataclass(frozen=True, slots=True)
class Session:
    """What was said in one session of a conversation."""

    user: str
    name: str
    sources: tuple[NewSource, ...]


def encoded(data: Path, model: MemoryModel, *, numbered: bool = False) -> list[Session]:
    """The sessions of a file of conversations.

    Args:
        data: LoCoMo's file, or one of anyone's conversations.
        model: Encodes the turns.
        numbered: Whether turns have the number of their session as metadata, ``number``.
    """
    sessions = []
    for conversation in read_conversations(data).conversations:
        for number, said in enumerate(_said(conversation)):
            parts = normalize(said, metadata={"number": number} if numbered else None).parts
            sources = prepare(parts, model, options=EncodingOptions(), now=utc_now())
            sessions.append(Session(conversation.id, f"session {number}", tuple(sources)))
    return sessions


def fill(store: Store, sessions: Sequence[Session], memories: int) -> int:
    """Write sessions, for one user after the other, until a store has enough memories.

    A store that was filled before goes on where it was.

    Returns:
        How many were written.
    """
    held = before = store.stats().chunks
    copies = len({use.scope.user_id for use in store.scopes()}) // _users(sessions)
    while held < memories:
        for session in sessions:
            scope = Scope(f"{session.user} {copies:03d}", None, session.name)
            written = store.add(session.sources, scope)
            held += sum(len(one.chunk_ids) for one in written if not one.duplicate)
            if held >= memories:
                break
        copies += 1
    return held - before


def _users(sessions: Sequence[Session]) -> int:
    return len({session.user for session in sessions})


def _said(conversation: Conversation) -> Iterator[list[dict[str, Any]]]:
    """The turns of a conversation, those of one time together."""
    session: list[dict[str, Any]] = []
    for turn in conversation.turns:
        message = {"name": turn.speaker, "content": turn.content, "created_at": turn.at}
        if session and session[0]["created_at"] != turn.at:
            yield session
            session = []
        session.append(message)
    if session:
        yield session
