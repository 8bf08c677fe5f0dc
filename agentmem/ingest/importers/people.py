"""Chats of people, in which everybody has a name: what Slack, Telegram and Discord have in common.

Nobody is an assistant there, so all messages have the role ``user`` and the name of who wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.ingest.importers.items import Item, Message, text_of, with_ids
from agentmem_storage.records import Scope


def said(name: object, text: str, **more: Any) -> Message:
    """What somebody wrote.

    Args:
        name: Their name; anything but a string that is not blank is none.
        text: The text.
        **more: Other keys of the message; those that are None are left out.
    """
    speaker = text_of(name)
    given = {"name": None if speaker is None else speaker.strip(), **more}
    known = {key: value for key, value in given.items() if value is not None}
    return {"role": "user", "content": text, **known}


def chat(where: str, title: str | None, session: str | None, messages: Sequence[Message]) -> Item:
    """A chat as an item: a session of its own, with its title in the metadata."""
    named = f"{where} ({title!r:.80})" if title else where
    metadata: Mapping[str, Any] = {"conversation": title} if title else {}
    return Item(named, with_ids(messages), Scope(session_id=session), metadata)
