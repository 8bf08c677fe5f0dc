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

_WORDS = r"(?:who|whom|whose|what|when|where|which|why|how)\b"
_QUESTION_WORD = re.compile(_WORDS, re.IGNORECASE)
# "Tell me where Hanna works.", "Could you please tell me about Hanna".
_REQUEST = re.compile(
    rf"(?:(?:can|could|would|will) you )?(?:please )?tell me (?:{_WORDS}|(?:about|if|whether)\b)",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"[.!?,;:–—]")


def is_question(line: str) -> bool:
    """Whether a message should be answered.

    It ends with "?", or starts with a question word or with a request such as "tell me where".
    """
    return line.endswith("?") or any(one.match(line) for one in (_QUESTION_WORD, _REQUEST))


def is_only_question(line: str) -> bool:
    """Whether a message is a single question or request without any statement."""
    if _REQUEST.match(line):
        # "Tell me what to cook, I eat no nuts" says something that is worth finding.
        return _PUNCTUATION.search(line.rstrip(".?")) is None
    return line.endswith("?") and "." not in line and "!" not in line


def answers_only(where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A filter for memories that match ``where`` and are not pure questions."""
    return _NOT_A_QUESTION if where is None else {"and": [where, _NOT_A_QUESTION]}
