"""The text of values that have a structure of their own, such as results of server tools."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

# Keys that hold text for people, in the order in which it is read.
_CAPTIONS = ("caption", "alt", "alt_text", "altText", "description", "summary")
_KEYS = (
    *("title", "filename", "url", "query", "queries", "code", "text", "transcript", "refusal"),
    *("stdout", "stderr", "logs", "output", "outputs", "content", "cited_content"),
    *("result", "results", "value", "json", "message", "error", "error_code"),
    *("error_message", "errorMessage", "errorText"),
    *_CAPTIONS,
)
# Words in the types of blocks whose strings are no text for people: what a model thought, and
# media, apart from what is plainly their text.
_THOUGHT = {"thinking", "reasoning", "thought", "thoughts", "encrypted"}
_MEDIA = ("image", "video", "audio", "file", "screenshot")
_SPOKEN = ("text", "content", "transcript", *_CAPTIONS)
# The words of a type such as "input_image", "image-url" or "fileData".
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# A file in Base64, or a link to one.
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}|(?:data|https?|file|gs|s3):\S+")
# Keys under which a tool's output may stand alone.
_WRAPPERS = {"output", "result", "content", "text", "json"}
_MAX_DEPTH = 20


def is_silent(kind: str) -> bool:
    """Whether a block of this type is a thought, or media with at most a text of its own."""
    return is_thought(kind) or (
        "transcri" not in kind and any(word.startswith(_MEDIA) for word in _words(kind))
    )


def is_thought(kind: str) -> bool:
    """Whether a block of this type is what a model thought."""
    return not _THOUGHT.isdisjoint(_words(kind))


def read_keys(kind: str) -> tuple[str, ...]:
    """The keys under which `plain_text` finds the text of a block of this type."""
    if is_thought(kind):
        return ()
    return _SPOKEN if is_silent(kind) else _KEYS


def _words(kind: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(kind)]


def plain_text(value: object) -> str:
    """The texts in a value, one per line; "" if it has none."""
    return "\n".join(text for text in _texts(value, _MAX_DEPTH) if text.strip())


def as_text(value: object) -> str:
    """A tool's output as text: a string as it is, the texts of typed blocks, other values as JSON.

    Raises:
        ValueError: it cannot be written as JSON.
        TypeError: likewise.
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, Mapping):
        given = [one for one in value.values() if one is not None]
        if len(given) == 1 and isinstance(given[0], str) and not _WRAPPERS.isdisjoint(value):
            value = given[0]
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, Mapping | list | tuple) and not value):
        return ""
    blocks = value if isinstance(value, list | tuple) else [value]
    if all(isinstance(one, str) or _is_typed(one) for one in blocks):
        return plain_text(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _is_typed(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one, depth - 1)
    elif depth and isinstance(value, Mapping):
        kind = value.get("type") or value.get("block_type")
        kind = kind if isinstance(kind, str) else ""
        if is_thought(kind):
            return
        silent = is_silent(kind)
        for key in read_keys(kind):
            text = value.get(key)
            if not (silent and isinstance(text, str) and _ENCODED.fullmatch(text.strip())):
                yield from _texts(text, depth - 1)
        source = value.get("source")
        if isinstance(source, Mapping) and source.get("type") == "text":
            yield from _texts(source.get("data"), depth - 1)
        elif isinstance(source, Mapping):
            yield from _texts(source.get("content"), depth - 1)
