"""What a message of Slack says beside its text: blocks, what is shared, and snippets of files.

Blocks mostly have the same words as the text, so they are read where it has none. What is attached
is a message that was shared, or what a program shows in a frame; but that of a link is the linked
page's, and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.ingest.importers.items import text_of

_MAX_DEPTH = 12
# Parts of a line, which follow each other without a break.
_LINES = frozenset({"rich_text_section", "rich_text_quote", "rich_text_preformatted", "context"})


def texts_of(message: Mapping[str, Any], skipped: Counter[str]) -> list[str]:
    """The texts of a message, marked as Slack marks them."""
    text = text_of(message.get("text"))
    found = [text] if text else list(_blocks(message.get("blocks"), _MAX_DEPTH))
    found += _attached(message, skipped, alone=not found)
    files = [one for one in _listed(message.get("files")) if isinstance(one, Mapping)]
    shown = [preview for one in files if (preview := text_of(one.get("preview"))) is not None]
    if (found or shown) and len(files) > len(shown):
        skipped["file"] += len(files) - len(shown)
    return [*found, *shown]


def _attached(message: Mapping[str, Any], skipped: Counter[str], *, alone: bool) -> Iterator[str]:
    for one in _listed(message.get("attachments")):
        if not isinstance(one, Mapping):
            continue
        shared = one.get("is_share") or one.get("is_msg_unfurl")
        if one.get("from_url") and not shared and not alone:
            skipped["preview of a link"] += 1
            continue
        lines = [text_of(one.get(key)) for key in ("pretext", "title")]
        lines.append(text_of(one.get("text")) or "\n".join(_blocks(one.get("blocks"), _MAX_DEPTH)))
        lines += [_field(field) for field in _listed(one.get("fields"))]
        said = "\n".join(line for line in lines if line) or text_of(one.get("fallback"))
        author = text_of(one.get("author_name")) if shared else None
        if said:
            yield f"{author}: {said}" if author else said


def _field(field: object) -> str | None:
    if not isinstance(field, Mapping):
        return None
    parts = [text for key in ("title", "value") if (text := text_of(field.get(key))) is not None]
    return ": ".join(parts)


def _blocks(value: object, depth: int) -> Iterator[str]:
    """The texts in blocks, a line each."""
    if not depth:
        return
    if isinstance(value, list):
        for one in value:
            yield from _blocks(one, depth - 1)
    elif isinstance(value, Mapping):
        if value.get("type") in _LINES:
            line = "".join(_inline(one) for one in _listed(value.get("elements")))
            if line.strip():
                yield line
            return
        if isinstance(text := value.get("text"), str):
            yield from filter(text_of, [text])
        for key in ("text", "fields", "elements", "title", "alt_text"):
            inner = value.get(key)
            if isinstance(inner, list | Mapping):
                yield from _blocks(inner, depth - 1)


def _inline(element: object) -> str:
    """A part of a line, marked as in a text."""
    if not isinstance(element, Mapping):
        return ""
    if id := text_of(element.get("user_id")):
        return f"<@{id}>"
    if id := text_of(element.get("channel_id")):
        return f"<#{id}>"
    if element.get("type") == "emoji" and (name := text_of(element.get("name"))):
        return f":{name}:"
    text = element.get("text")
    if isinstance(text, Mapping):
        text = text.get("text")
    given = text if isinstance(text, str) and text else element.get("url")
    return given if isinstance(given, str) else ""


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
