"""Channels of Discord in the JSON that DiscordChatExporter writes, a file for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, Message, text_of
from agentmem.ingest.importers.people import chat, said
from agentmem_storage.text import shown

FORM = "Discord channel"
# Types of what somebody wrote; the others tell what happened, such as "ChannelPinnedMessage".
_SAID = frozenset({None, "Default", "Reply", "ChatInputCommand", "ContextMenuCommand"})
_EMBEDDED = ("title", "description")


def fits(value: object) -> bool:
    """Whether a JSON value is a channel."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("guild"), Mapping)
        and isinstance(value.get("channel"), Mapping)
        and isinstance(value.get("messages"), list)
    )


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Channels, each a session of its own, with its name in the metadata of its messages.

    Raises:
        InputError: what should be a message is none.
    """
    skipped: Counter[str] = Counter()
    items: list[Item] = []
    for where, value in values:
        if messages := list(_messages(value["messages"], where, skipped)):
            channel = value["channel"]
            session = text_of(channel.get("id"))
            items.append(chat(where, text_of(channel.get("name")), session, messages))
    return Imported(FORM, tuple(items), dict(skipped))


def _messages(given: Sequence[object], where: str, skipped: Counter[str]) -> Iterator[Message]:
    for number, one in enumerate(given):
        author = one.get("author") if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not isinstance(author, Mapping):
            raise InputError(f"{where}, message {number}: not a message: {shown(one)}")
        if one.get("type") not in _SAID:
            skipped[str(one["type"])] += 1
            continue
        text = "\n".join(_texts(one, author, skipped))
        if not text:
            skipped["attachment" if one.get("attachments") else "blank"] += 1
            continue
        name = author.get("nickname") or author.get("name")
        yield said(name, text, id=one.get("id"), timestamp=one.get("timestamp"))


def _texts(
    message: Mapping[str, Any], author: Mapping[str, Any], skipped: Counter[str]
) -> Iterator[str]:
    """What somebody wrote or forwarded, and what a program shows in frames.

    A frame with a link beside what a person wrote is of the linked page, and is counted.
    """
    text = text_of(message.get("content"))
    if text is not None:
        yield text
    if isinstance(forwarded := message.get("forwardedMessage"), Mapping):
        yield from _texts(forwarded, author, skipped)
    given = message.get("embeds")
    for one in given if isinstance(given, list) else ():
        if not isinstance(one, Mapping):
            continue
        if text is not None and one.get("url") and not author.get("isBot"):
            skipped["preview of a link"] += 1
            continue
        yield from (said for key in _EMBEDDED if (said := text_of(one.get(key))) is not None)
        fields = one.get("fields")
        for field in fields if isinstance(fields, list) else ():
            if isinstance(field, Mapping):
                named = (text_of(field.get(key)) for key in ("name", "value"))
                if line := ": ".join(part for part in named if part is not None):
                    yield line
