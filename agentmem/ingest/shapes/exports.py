"""Exports of conversations: ChatGPT's, a tree of messages, and Claude's, a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentmem.ingest.shapes.trees import shown_ids

# Keys of what a person told about themselves for all conversations.
_ABOUT = ("user_profile", "user_instructions", "model_set_context")
# What an export of Claude says about a message: no text of it, even if it has no other.
_ABOUT_CLAUDE = frozenset({"sender", "uuid", "parent_message_uuid", "updated_at", "input_mode"})


def thread(
    nodes: Mapping[str, Any], current: object, began: object, skipped: Counter[str]
) -> list[Any]:
    """The messages of a conversation up to its current node, or up to its newest leaf.

    What was said before a link that is missing or leads in a circle is read, too, see
    `agentmem.ingest.shapes.trees`.

    Args:
        nodes: The nodes of the conversation, by id.
        current: The id of the current node.
        began: The time of the conversation. A message without a time has that of the one before
            it, and those at the beginning have this one.
        skipped: Counts the messages of other branches, and what should be a message and is none.
    """
    known = {id: node for id, node in nodes.items() if isinstance(node, Mapping)}
    ids = shown_ids(known, current)
    given = {id: node["message"] for id, node in known.items() if node.get("message") is not None}
    messages = {id: one for id, one in given.items() if isinstance(one, Mapping)}
    said = [_readable(messages[id]) for id in ids if id in messages]
    empty = sum(1 for node in nodes.values() if node is None)
    for kind, count in (
        ("on other branches", len(messages) - len(said)),
        ("not a message", len(nodes) - empty - len(known) + len(given) - len(messages)),
    ):
        if count:
            skipped[kind] += count
    for at, message in enumerate(said):
        if message.get("create_time") is not None:
            began = message["create_time"]
        elif began is not None:
            said[at] = {**message, "create_time": began}
    return said


def said_in_claude(message: object) -> object:
    """A message of an export of Claude in a shape that others have, too.

    It says who speaks under "sender", and has the texts of attached files as "extracted_content".
    """
    if not isinstance(message, Mapping):
        return message
    more = {"role": message.get("sender"), "id": message.get("uuid")}
    given = message.get("attachments")
    files = [
        {**one, "text": one["extracted_content"]}
        if isinstance(one, Mapping) and isinstance(one.get("extracted_content"), str)
        else one
        for one in (given if isinstance(given, list | tuple) else ())
    ]
    own = {key: value for key, value in message.items() if key not in _ABOUT_CLAUDE}
    return {**more, **own, **({"attachments": files} if files else {})}


def _readable(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message in a shape that others have, too."""
    author, content = message.get("author"), message.get("content")
    role, name = (author.get("role"), author.get("name")) if isinstance(author, Mapping) else (0, 0)
    if not isinstance(content, Mapping):
        return message
    if about := [content[key] for key in _ABOUT if isinstance(content.get(key), str)]:
        return {**message, "content": about}
    if role == "tool" and name:
        return {"name": name, **message}
    asked = _texts(content) if role == "assistant" else ""
    if asked and message.get("recipient") not in (None, "", "all"):
        call = {"type": "tool_call", "name": message["recipient"], "arguments": asked}
        return {**message, "content": [call]}
    return message


def _texts(content: Mapping[str, Any]) -> str:
    """What an assistant wrote for a tool."""
    parts = content.get("parts")
    texts = [content.get("text"), *(parts if isinstance(parts, list) else ())]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())
