"""The message with recalled memories, in the form of the messages that it joins.

APIs differ in where a message has its text, and refuse a conversation in which one message has it
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.ingest.shapes.envelopes import plain


def in_form_of(message: object, added: Mapping[str, Any]) -> dict[str, Any]:
    """A message of a chat API as its neighbor has it.

    Args:
        message: The neighbor, as a dict or an object with ``model_dump()``.
        added: A message whose content is a text, which is the form of most APIs.

    Returns:
        With ``parts`` as for Google, with blocks that have no type as for Bedrock, or as it is.
    """
    given = plain(message)
    if not isinstance(given, Mapping):
        return dict(added)
    text = added["content"]
    if given.get("content") is None and (part := _text_part(given.get("parts"))) is not None:
        kind = {"type": part["type"]} if part.get("type") else {}
        return {"role": added["role"], "parts": [{**kind, "text": text}]}
    block = _text_part(given.get("content"))
    if block is not None and "type" not in block:
        return {"role": added["role"], "content": [{"text": text}]}
    return dict(added)


def _text_part(parts: object) -> Mapping[str, Any] | None:
    """The first part with a text."""
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        return None
    texts = (one for one in map(plain, parts) if isinstance(one, Mapping))
    return next((one for one in texts if isinstance(one.get("text"), str)), None)
