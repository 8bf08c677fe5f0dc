"""Detects questions in a conversation, and keeps stored questions out of answers.

Every message is stored. One that is only a question is marked and excluded when memories are
recalled to answer another: it is the best match for the same question, and it answers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentmem.statements.interrogative import is_inverted, states
from agentmem.statements.marks import FULL_STOPS, QUESTION_MARKS, has_question_mark
from agentmem.statements.requests import requests
from agentmem.statements.telling import tells

# The metadata key that marks pure questions; part of stored data.
QUESTION_KEY = "asked"
_NOT_A_QUESTION = {QUESTION_KEY: {"exists": False}}

_QUESTION_WORD = re.compile(r"(?:who|whom|whose|what|when|where|which|why|how)\b", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[.!?,;:–—]")
# Not the point of "config.yaml"; Chinese and Japanese have no space after theirs. Of Greek's
# semicolon, that of a question.
_END = re.compile(
    rf"(?<=[.!…{''.join(QUESTION_MARKS)}{FULL_STOPS}])[\"')\]]*\s+"
    r"|(?<=[\u0370-\u03ff\u1f00-\u1fff];)\s+|(?<=[。！？])|\n"
)
# What may stand around a question and says nothing.
_COURTESY = (
    r"(?:hi|hello|hey|so|well|ok|okay|alright|great|nice|cool|perfect|sorry|please|thanks|thank you"
    r"|cheers|excuse me|by the way|btw|got it|i see|good (?:morning|afternoon|evening)"
    r"|(?:a |one )?quick question|one more (?:thing|question)"
    r"|i have (?:a|another|one more) (?:quick )?question)"
    r"(?: (?:there|again|a lot|so much|very much|in advance))?"
)
_ONLY_COURTESY = re.compile(_COURTESY, re.IGNORECASE)
# "Hey, where is it", "ok and where is it".
_OPENING = re.compile(
    rf"(?:(?:{_COURTESY}|and|but|now|then)(?:[,:]? |, ?| [-–—] ))+", re.IGNORECASE
)
_CLOSING = re.compile(r",? (?:please|thanks|thank you)$", re.IGNORECASE)


def is_question(line: str) -> bool:
    """Whether a message should be answered.

    It ends with "?", starts with a question word or with a request such as "tell me where", or is
    nothing but a question among courtesies.
    """
    return (
        has_question_mark(line)
        or _QUESTION_WORD.match(line) is not None
        or requests(line)
        or is_only_question(line)
    )


def is_only_question(line: str) -> bool:
    """Whether a message is questions or requests without any statement, but for courtesies."""
    if tells(line):
        return False
    sentences = [one for part in _END.split(line) if (one := part.strip(" \t\"'()[]"))]
    asking = [_asks(one) for one in sentences]
    return any(asking) and all(
        asks or _ONLY_COURTESY.fullmatch(one.rstrip(" ,.!…"))
        for one, asks in zip(sentences, asking, strict=True)
    )


def _asks(sentence: str) -> bool:
    """Whether a sentence is nothing but a question or a request."""
    opening = _OPENING.match(sentence)
    said = _CLOSING.sub("", (sentence[opening.end() :] if opening else sentence).rstrip(".!…"))
    if requests(said):
        # "Tell me what to cook, I eat no nuts" says something that is worth finding.
        return _PUNCTUATION.search(said.rstrip("".join(QUESTION_MARKS))) is None
    if has_question_mark(said):
        return not states(said)
    return is_inverted(said)


def answers_only(where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A filter for memories that match ``where`` and are not pure questions."""
    return _NOT_A_QUESTION if where is None else {"and": [where, _NOT_A_QUESTION]}
