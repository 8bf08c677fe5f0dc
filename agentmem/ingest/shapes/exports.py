"""Exports of conversations: ChatGPT's, a tree of messages, and Claude's, a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys of what a person told about themselves for all conversations.
_ABOUT = ("user_profile", "user_instructions", "model_set_context")
# What an export of Claude says about a message: no text of it, even if it has no other.
_ABOUT_CLAUDE = frozenset({"sender", "uuid", "parent_message_uuid", "updated_at", "input_mode"})


def thread(nodes: Mapping[str, Any], current: object, began: object = None) -> list[Any]:
    """The messages of a conversation up to its current node, or up to its newest leaf.

    Args:
        nodes: The nodes of the conversation, by id.
        current: The id of the current node.
        began: The time of the conversation. A message without a time has that of the one before
            it, and those at the beginning have this one.
    """
    found: list[Any] = []
    left = set(nodes)
    if current not in left:
        current = _newest_leaf(nodes)
    while isinstance(current, str) and current in left:
        left.discard(current)
        node = nodes[current]
        if not isinstance(node, Mapping):
            break
        if isinstance(message := node.get("message"), Mapping):
            found.append(_readable(message))
        current = node.get("parent")
    said = found[::-1]
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


def _newest_leaf(nodes: Mapping[str, Any]) -> str | None:
    """The id of the node that was written last among those that nothing follows."""
    leaves = [(id, node) for id, node in nodes.items() if isinstance(node, Mapping)]
    parents = {node.get("parent") for _, node in leaves}

    def written(one: tuple[str, Mapping[str, Any]]) -> float:
        message = one[1].get("message")
        time = message.get("create_time") if isinstance(message, Mapping) else None
        return float(time) if isinstance(time, int | float) else 0.0

    # Of several without times, the last of the export.
    last = [one for one in leaves if one[0] not in parents][::-1]
    return max(last, key=written)[0] if last else None


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
