"""The marks that end sentences and questions, in all scripts that have their own."""

from __future__ import annotations

from agentmem_storage.patterns import unicode_pattern

QUESTION_MARKS = (
    "?",
    "\uff1f",
    "\ufe56",
    "\u061f",
    "\u037e",
    "\u1367",
    "\u2047",
    "\u2049",
    "\u203d",
)
# Of Indian scripts, Urdu, Armenian, Ethiopic, Burmese and Khmer; behind them stands a space.
FULL_STOPS = "\u0964\u0965\u06d4\u0589\u1362\u104b\u17d4"

# A Greek keyboard has a semicolon for it, and so has NFC.
_GREEK = unicode_pattern(r"\p{Greek}\p{M}?[\"'»”)\]]?;\Z")
# It stands in the word that is asked for, before the end of the sentence.
_ARMENIAN = "\u055e"


def has_question_mark(sentence: str) -> bool:
    """Whether a single sentence has a question mark where its script has it."""
    return (
        sentence.endswith(QUESTION_MARKS)
        or _ARMENIAN in sentence
        or _GREEK.search(sentence, max(0, len(sentence) - 4)) is not None
    )
