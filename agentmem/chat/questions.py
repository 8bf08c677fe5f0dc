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
_MARKS = ("?", "？", "؟")
# Not the point of "config.yaml"; Chinese and Japanese have no space after theirs.
_END = re.compile(r"(?<=[.!?…؟])[\"')\]]*\s+|(?<=[。！？])|\n")
# "Can you remember that I am vegan?" says something, whatever its mark.
_TELLING = re.compile(
    r"\b(?:remember|note|know|mind|forget|record|save|store) that\b|\bdid you know\b",
    re.IGNORECASE,
)
# What may stand around a question and says nothing.
_COURTESY = re.compile(
    r"(?:hi|hello|hey|so|well|ok|okay|sorry|please|thanks|thank you|cheers|excuse me|by the way"
    r"|good (?:morning|afternoon|evening)|(?:a |one )?quick question)"
    r"(?: (?:there|again|a lot|so much|very much|in advance))?",
    re.IGNORECASE,
)


def is_question(line: str) -> bool:
    """Whether a message should be answered.

    It ends with "?", starts with a question word or with a request such as "tell me where", or is
    nothing but a question among courtesies.
    """
    return (
        line.endswith(_MARKS)
        or any(one.match(line) for one in (_QUESTION_WORD, _REQUEST))
        or is_only_question(line)
    )


def is_only_question(line: str) -> bool:
    """Whether a message is questions or a request without any statement, but for courtesies."""
    if _REQUEST.match(line):
        # "Tell me what to cook, I eat no nuts" says something that is worth finding.
        return _PUNCTUATION.search(line.rstrip(".?")) is None
    if not any(mark in line for mark in _MARKS) or _TELLING.search(line):
        return False
    sentences = [one for part in _END.split(line) if (one := part.strip(" \t\"'()[]"))]
    asking = [one.rstrip("!…").endswith(_MARKS) for one in sentences]
    return any(asking) and all(
        asks or _COURTESY.fullmatch(one.rstrip(" ,.!…"))
        for one, asks in zip(sentences, asking, strict=True)
    )


def answers_only(where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A filter for memories that match ``where`` and are not pure questions."""
    return _NOT_A_QUESTION if where is None else {"and": [where, _NOT_A_QUESTION]}
