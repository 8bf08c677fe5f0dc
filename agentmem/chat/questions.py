"""Detects questions in a conversation, and keeps stored questions out of answers.

Every message is stored. One that is only a question is marked and excluded when memories are
recalled to answer another: it is the best match for the same question, and it answers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The metadata key that marks pure questions; part of stored data.
QUESTION_KEY = "asked"
_NOT_A_QUESTION = {QUESTION_KEY: {"exists": False}}

_QUESTION_WORD = re.compile(r"(who|whom|whose|what|when|where|which|why|how)\b", re.IGNORECASE)


def is_question(line: str) -> bool:
    """Whether a message should be answered: it ends with "?" or starts with a question word."""
    return line.endswith("?") or _QUESTION_WORD.match(line) is not None


def is_only_question(line: str) -> bool:
    """Whether a message is a single question without any statement."""
    return line.endswith("?") and "." not in line and "!" not in line


def answers_only(where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A filter for memories that match ``where`` and are not pure questions."""
    return _NOT_A_QUESTION if where is None else {"and": [where, _NOT_A_QUESTION]}
