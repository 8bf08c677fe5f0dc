"""Telegram's export: ``result.json``, of one chat or of all chats of an account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, Message, text_of
from agentmem.ingest.importers.people import chat, said
from agentmem_storage.text import shown

FORM = "Telegram export"
FILE = "result.json"
_CHATS = frozenset(
    "personal_chat bot_chat saved_messages private_group private_supergroup public_supergroup "
    "private_channel public_channel".split()
)
# Keys of what a message without a text consists of.
_MEDIA = ("media_type", "photo", "file", "poll", "location_information", "contact_information")


def fits(value: object) -> bool:
    """Whether a JSON value is an export."""
    if not isinstance(value, Mapping):
        return False
    chats = value.get("chats")
    if isinstance(chats, Mapping) and isinstance(chats.get("list"), list):
        return True
    return value.get("type") in _CHATS and isinstance(value.get("messages"), list)


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Chats, each a session of its own, with its name in the metadata of its messages.

    Raises:
        InputError: a chat or a message is none.
    """
    skipped: Counter[str] = Counter()
    items: list[Item] = []
    for where, value in values:
        chats = value.get("chats")
        for number, one in enumerate(chats["list"] if isinstance(chats, Mapping) else [value]):
            place = f"{where}, chat {number}" if isinstance(chats, Mapping) else where
            if not isinstance(one, Mapping) or not isinstance(one.get("messages"), list):
                raise InputError(f"{place}: not a chat: {shown(one)}")
            if messages := list(_messages(one["messages"], place, skipped)):
                id = one.get("id")
                session = None if id is None else str(id)
                items.append(chat(place, text_of(one.get("name")), session, messages))
    return Imported(FORM, tuple(items), dict(skipped))


def _messages(given: Sequence[object], where: str, skipped: Counter[str]) -> Iterator[Message]:
    for number, one in enumerate(given):
        if not isinstance(one, Mapping):
            raise InputError(f"{where}, message {number}: not a message: {shown(one)}")
        if one.get("type") == "service":
            skipped[str(one.get("action") or "service")] += 1
            continue
        text = _text(one.get("text"), f"{where}, message {number}") or _poll(one.get("poll"))
        if not text.strip():
            media = next((key for key in _MEDIA if one.get(key)), "blank")
            skipped[str(one[media]) if media == "media_type" else media] += 1
            continue
        forwarded = text_of(one.get("forwarded_from"))
        yield said(
            one.get("from") or one.get("from_id"),
            text,
            id=one.get("id"),
            # The date is one of the clock where it was exported, without its zone.
            date=one.get("date_unixtime") or one.get("date"),
            metadata={"forwarded_from": forwarded} if forwarded else None,
        )


def _poll(given: object) -> str:
    """The question of a poll and its answers, a line each."""
    if not isinstance(given, Mapping):
        return ""
    answers = given.get("answers")
    listed = answers if isinstance(answers, list) else []
    texts = [given, *(one for one in listed if isinstance(one, Mapping))]
    lines = (text_of(one.get("question") or one.get("text")) for one in texts)
    return "\n".join(line for line in lines if line is not None)


def _text(given: object, where: str) -> str:
    """A text, of which parts may be links, names or in bold."""
    if given is None or isinstance(given, str):
        return given or ""
    parts = given if isinstance(given, list) else [given]
    texts = [one.get("text") if isinstance(one, Mapping) else one for one in parts]
    if not all(isinstance(one, str) for one in texts):
        raise InputError(
            f"{where}: its text is neither a string nor a list of parts: {shown(given)}"
        )
    return "".join(map(str, texts))
