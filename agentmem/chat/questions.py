"""Which lines of a conversation ask, and how those that only ask are kept from answering.

Every line of a conversation is stored. One that is a question and nothing else is marked, and left
out when memories are looked up to answer another: of all memories it is most like the same
question asked again, and it answers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The metadata key that marks a line which only asks.
ASKED = "asked"
_NOT_ASKED = {ASKED: {"exists": False}}

_QUESTION_WORD = re.compile(r"(who|whom|whose|what|when|where|which|why|how)\b", re.IGNORECASE)
_ONE_QUESTION = re.compile(r"[^.!]*\?")


def asks(line: str) -> bool:
    """Whether a line is to be answered: it ends with "?" or begins with a question word."""
    return line.endswith("?") or _QUESTION_WORD.match(line) is not None


def only_asks(line: str) -> bool:
    """Whether a line is one question and tells nothing."""
    return _ONE_QUESTION.fullmatch(line) is not None


def answering(where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A filter for memories that may answer: those that ``where`` lets through and that tell."""
    return _NOT_ASKED if where is None else {"and": [where, _NOT_ASKED]}
