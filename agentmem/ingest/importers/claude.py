"""Claude's export: ``conversations.json``, in which each conversation is a list of messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, text_of, with_ids
from agentmem.ingest.shapes.exports import said_in_claude
from agentmem_storage.records import Scope
from agentmem_storage.text import shown

FORM = "Claude export"


def fits(value: object) -> bool:
    """Whether a JSON value is a conversation of Claude."""
    return isinstance(value, Mapping) and isinstance(value.get("chat_messages"), list)


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Conversations, each with its place in the file.

    Each is a session of its own, and its name is in the metadata of its messages.

    Raises:
        InputError: what should be a message is none.
    """
    skipped: Counter[str] = Counter()
    items = []
    for where, conversation in values:
        said = []
        for number, one in enumerate(conversation["chat_messages"]):
            if one is None:
                skipped["blank"] += 1
                continue
            message = said_in_claude(one)
            if not isinstance(message, Mapping):
                raise InputError(f"{where}, message {number}: not a message: {shown(one)}")
            said.append(message)
        if not said:
            skipped["empty conversation"] += 1
            continue
        name = text_of(conversation.get("name"))
        metadata = {"conversation": name} if name else {}
        scope = Scope(session_id=text_of(conversation.get("uuid")))
        named = f"{where} ({name!r:.80})" if name else where
        items.append(Item(named, with_ids(said), scope, metadata))
    return Imported(FORM, tuple(items), dict(skipped))
