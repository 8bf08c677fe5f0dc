"""Answers that stand beside a request as texts, as programs log them, such as DSPy's "outputs"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of several, the first one that has a text counts: the others are forms of the same.
_KEYS = (
    *("outputs", "output", "response", "responses", "answer", "reply", "completion", "completions"),
    *("generation", "generations", "generated_text", "prediction", "assistant"),
)
# Under which a dict has its text.
_TEXTS = ("text", "content")


def text_answers(item: Mapping[str, Any]) -> list[Any] | None:
    """The answers beside a request as messages; None if there is none. Several are alternatives."""
    for key in _KEYS:
        given = item.get(key)
        texts = [_text(one) for one in (given if isinstance(given, list | tuple) else [given])]
        said = [{"role": "assistant", "content": text} for text in texts if text is not None]
        if said and len(said) == len(texts):
            return said
    return None


def _text(value: object) -> str | None:
    """The text of an answer; None if it is something else."""
    if isinstance(value, Mapping) and "role" not in value and "type" not in value:
        value = next((value[key] for key in _TEXTS if value.get(key)), None)
    return value if isinstance(value, str) and value.strip() else None
