"""The fields of a message: its role, its time, its id, and where its content stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, get_args
from uuid import UUID

from agentmem.ingest.checks import check_time, check_unicode, describe
from agentmem.ingest.shapes.plain import read_keys
from agentmem.types import Role
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Words for roles in addition to our own: of Google, LangChain, LlamaIndex, Cohere and older APIs.
_OTHER_ROLES: dict[str, Role] = {
    "function": "tool",
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
}
ROLES: dict[str, Role] = {**{role: role for role in get_args(Role)}, **_OTHER_ROLES}
# The type of a LangChain message says its role. A chunk's type is the name of its class.
_ROLE_TYPES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "developer": "developer",
    "api": "assistant",  # of Flowise
}
# Without case and underscores.
_TIMES = (
    *("createdat", "createtime", "createdtime", "timecreated", "created"),
    *("createdtimestamp", "createdutc", "insertedat", "timestampms"),
    *("timestamp", "ts", "at", "sentat", "senttime", "sent", "postedat", "postedtime"),
    *("datetime", "time", "date"),  # "date" last, see `envelopes`
)
# Of other programs, where none of those is given, and only if the value is a time.
_OTHER_TIMES = re.compile(
    r"(?:event|message|msg|sent|received?|creat(?:ed|ion)|publish(?:ed)?|post(?:ed)?|logg?(?:ed)?"
    r"|record(?:ed)?|submit(?:ted)?|occurred|written|added|insert(?:ed)?)"
    r"(?:date|time|datetime|timestamp|timestampms|timestamputc|at|on|utc|epoch|ts)"
    r"|date(?:created|sent|received|published|added|posted|submitted|utc)"
    r"|timestamputc|when|published|received|posted|occurred"
)
_EARLIEST = 10**9  # the year 2001, in seconds
# What was only changed then, if nothing says when it was written.
_CHANGED = re.compile(r"(?:last)?(?:updated|modified|changed|edited)(?:at|on|date|time|timestamp)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::.*)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# Where content stands; Vercel's messages have their text twice, so the parts come first.
_CONTENTS = ("parts", "blocks", "content", "text", "tool_plan")
# Fields that are read under any spelling, without case and underscores.
_FIELDS = {
    *(*_TIMES, "userid", "agentid", "sessionid"),
    *("toolcallid", "tooluseid", "callid", "toolname"),
}
# Attached files, which are read on their own.
ATTACHMENTS = ("experimental_attachments", "attachments", "images", "files")
# Other fields of messages: one that has no content may have these and is merely empty.
_OTHERS = {
    *("role", "type", "name", "id", "status", "model", "object", "author", "recipient", "channel"),
    *("tool_calls", "refusal", "reasoning_content", "reasoning", "thinking"),
    *("stop_reason", "finish_reason", "phase", *ATTACHMENTS),
    *("external_id", "expires_at"),
}
# Strings of events and of lines of logs that are no text for people.
_TECHNICAL = {
    *(
        "object",
        "block_type",
        "content_type",
        "message_type",
        "subtype",
        "kind",
        "format",
        "language",
        "version",
    ),
    *("mime_type", "mimeType", "media_type", "mediaType", "signature", "level", "operation"),
    *("cwd", "gitBranch", "slug", "userType", "entrypoint", "source", "href", "lang", "locale"),
}
# Keys under which a single word is what somebody said, too.
_SAID = {
    *("body", "reply", "answer", "response", "choice", "option", "selected", "selection"),
    *("note", "comment", "remark", "utterance", "speech", "question", "markdown", "feedback"),
}
# The ends of keys of dicts about a message: how it was made, not what it says.
_ABOUT = re.compile(
    r"(?:metadata|kwargs|usage|config|settings|options|params|fields|logprobs|annotations|citations"
    r"|error)"
    r"$",
    re.IGNORECASE,
)
_MAX_DEPTH = 20
# Longer numbers may be none that JSON is written with.
_MOST_ID_BITS = 1024
_IDS = re.compile(r"(?:^|_|-)(?:u?u?id|url|uri)$|(?:U?U?[Ii][Dd]|Ur[li]|UR[LI])$")


def read_role(role: object, where: str) -> Role:
    """The role that a word stands for, in any case: Cohere's are in capitals.

    Raises:
        InputError: the word is unknown.
    """
    word = role.value if isinstance(role, Enum) else role
    known = ROLES.get(word.lower()) if isinstance(word, str) else None
    if known is None:
        raise InputError(f"{where}: unknown role {shown(role)}; use one of {', '.join(ROLES)}")
    return known


def role_of_type(kind: object) -> Role | None:
    """The role of a message that has only a type; None if the type says none."""
    if not isinstance(kind, str):
        return None
    # Also by the name of a class, such as AIMessageChunk, or of an event, such as user_message.
    name = kind.removesuffix("Chunk").removesuffix("Message").lower()
    return _ROLE_TYPES.get(name.removesuffix("_message"))


def read_time(message: Mapping[str, Any], where: str) -> datetime | None:
    """The time of a message in UTC; None if it has none.

    Raises:
        InputError: it is not a time.
    """
    return check_time(find_time(message), where)


def find_time(message: Mapping[str, Any]) -> object:
    """What a message gives as its time, under the most specific key; None if it gives none."""
    given = {squashed(key): value for key, value in message.items() if value not in (None, "")}
    if isinstance(given.get("sent"), bool):
        del given["sent"]  # whether, not when
    clock, day = given.get("time"), given.get("date")
    if isinstance(clock, str) and _CLOCK.fullmatch(clock.strip()):
        if isinstance(day, str) and _DAY.fullmatch(day.strip()):
            given["time"] = f"{day.strip()}T{clock.strip():0>5}"
    named = next((given[key] for key in _TIMES if key in given), None)
    if named is not None:
        return named
    others = (
        given[key] for form in (_OTHER_TIMES, _CHANGED) for key in given if form.fullmatch(key)
    )
    return next((value for value in others if _is_time(value)), None)


def _is_time(value: object) -> bool:
    """Whether a value under a key that may mean something else is a time; 1 is no time of 1970."""
    if isinstance(value, bool) or (isinstance(value, int | float) and value < _EARLIEST):
        return False
    try:
        return check_time(value, "") is not None
    except InputError:
        return False


def squashed(key: object) -> str:
    """A key without case and underscores; "" if it is no string."""
    return key.replace("_", "").lower() if isinstance(key, str) else ""


def read_id(message: Mapping[str, Any], where: str) -> str | int | None:
    """The message's own id; None if it has none.

    Raises:
        InputError: it is not a string, a whole number or a UUID.
    """
    id = message.get("id")
    if id is None or id == "":
        return None
    if isinstance(id, UUID):
        return str(id)
    if isinstance(id, str):
        return check_unicode(id, f"{where}: 'id'")
    if isinstance(id, int) and not isinstance(id, bool) and id.bit_length() <= _MOST_ID_BITS:
        return id
    raise InputError(f"{where}: 'id' must be a string or a whole number, got {describe(id)}")


def read_contents(message: Mapping[str, Any], where: str) -> list[object]:
    """What may hold the content of a message; of several, the first that has any counts.

    Raises:
        InputError: there is text only in a field that is not known.
    """
    found: list[object] = [message[key] for key in _CONTENTS if message.get(key) is not None]
    if _are_contents(message.get("items")):
        found.append(message["items"])
    unread = [key for key, _ in _strings(message)]
    # What is no id and no word for programs is more likely to be the text.
    unread.sort(key=lambda key: key in _TECHNICAL or _IDS.search(key) is not None)
    if unread and not any(content or content == 0 for content in found):
        raise InputError(f"{where}: give its text as 'content', not as {shown(unread[0])}")
    return found


def read_refusal(message: Mapping[str, Any]) -> object:
    """Why a model does not answer, beside the content; LangChain has it among OpenAI's own keys."""
    extra = message.get("additional_kwargs")
    given = message.get("refusal")
    return extra.get("refusal") if given is None and isinstance(extra, Mapping) else given


def _are_contents(items: object) -> bool:
    """Whether a list has the contents of a message, as Semantic Kernel writes them."""
    return (
        isinstance(items, list | tuple)
        and bool(items)
        and all(isinstance(one, Mapping) and "content_type" in one for one in items)
    )


def unread_key(item: Mapping[str, Any], kind: str, *, prose: bool) -> str | None:
    """The key of a text in a dict of an unknown type that is not read; None if there is none.

    Args:
        item: The dict.
        kind: Its type.
        prose: Whether only strings of several words count, because a single one may be anything.
    """
    known = (*read_keys(kind), *_CONTENTS, kind)
    for key, text in _strings(item):
        technical = key in _TECHNICAL or key in known or _IDS.search(key)
        if not technical and (not prose or _is_prose(key, text)):
            return key
    return None


def nested_key(item: Mapping[str, Any]) -> str | None:
    """The path of prose in the dicts of a dict that is not read, such as "payload.body".

    Returns:
        None if there is none.
    """
    return _nested(item, _MAX_DEPTH)


def _nested(item: Mapping[str, Any], depth: int) -> str | None:
    for key, value in item.items() if depth else ():
        if not isinstance(key, str) or _is_about(key):
            continue
        for inner in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(inner, Mapping):
                continue
            own = (one for one, text in _strings(inner) if _is_prose(one, text))
            path = next((one for one in own if not _is_about(one)), None)
            path = _nested(inner, depth - 1) if path is None else path
            if path is not None:
                return f"{key}.{path}"
    return None


def _is_about(key: str) -> bool:
    """Whether what stands under a key is read elsewhere, or no text for people."""
    return bool(key in ATTACHMENTS or key in _TECHNICAL or _ABOUT.search(key) or _IDS.search(key))


def _is_prose(key: str, text: str) -> bool:
    """Whether a string is something that somebody said, and not a word for programs."""
    return len(text.split()) > 1 or key in _SAID


def _strings(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what may be text: the strings of a message that are none of its usual fields."""
    for key, value in message.items():
        if isinstance(key, str) and key not in _OTHERS and squashed(key) not in _FIELDS:
            given = value if isinstance(value, list | tuple) else [value]
            texts = [one for one in given if isinstance(one, str) and one.strip()]
            if texts:
                yield key, texts[0]
