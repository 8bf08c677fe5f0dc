"""Letters: which of them are written now one way, now another, and count as the same in a search.

Accents are left out in haste and on foreign keyboards, and several letters have a plain form that
most people type: "Łódź" and "Lodz", "ёлка" and "елка". A word is indexed, and searched, in its
plain form. Scripts of India write a nasal before its consonant as a letter or as a dot: "हिन्दी"
and "हिंदी". Letters that no one interchanges stay different: "и" and "й" in Cyrillic, and all vowel
signs of the scripts of India.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from agentmem_storage.patterns import unicode_pattern

# Latin letters with a stroke and the like have no decomposition. Alef, yeh and kaf differ by
# country and keyboard, teh marbuta is often written as heh, and tatweel only stretches a word.
_PLAIN = {
    "\u00f8": "o",
    "\u0142": "l",
    "\u0111": "d",
    "\u00f0": "d",
    "\u0127": "h",
    "\u0167": "t",
    "\u0131": "i",
    "\u00e6": "ae",
    "\u0153": "oe",
    "\u00fe": "th",
    "\u00df": "ss",
    "\u0451": "\u0435",  # Cyrillic yo
    "\u03c2": "\u03c3",  # final sigma
    "\u0622": "\u0627",
    "\u0623": "\u0627",
    "\u0625": "\u0627",
    "\u0671": "\u0627",
    "\u0649": "\u064a",
    "\u06cc": "\u064a",
    "\u06a9": "\u0643",
    "\u0629": "\u0647",
    "\u06c1": "\u0647",
    "\u0640": "",
    "\u0901": "\u0902",  # the moon-dot of Devanagari, for which most print a dot
    "\u093c": "",  # its dot below, which marks sounds of foreign words
}
# Devanagari, Gujarati, Odia, Telugu and Kannada have their letters in the same order: the nasals,
# each with the first and the last consonant of its class.
_SCRIPTS = (0x0900, 0x0A80, 0x0B00, 0x0C00, 0x0C80)
_CLASSES = (
    (0x19, 0x15, 0x18),
    (0x1E, 0x1A, 0x1D),
    (0x23, 0x1F, 0x22),
    (0x28, 0x24, 0x27),
    (0x2E, 0x2A, 0x2D),
)
_ANUSVARA, _VIRAMA = 0x02, 0x4D
_NASALS = unicode_pattern(
    "|".join(
        rf"{chr(at + nasal)}{chr(at + _VIRAMA)}(?=[{chr(at + first)}-{chr(at + last)}])"
        for at in _SCRIPTS
        for nasal, first, last in _CLASSES
    )
)
_ACCENTED = ("LATIN", "GREEK")


def plain(word: str) -> str:
    """A normalized word in the form in which words are compared; applying it twice changes nothing.

    Digits of all scripts become those of ASCII.
    """
    return word if word.isascii() else _NASALS.sub(_dot, "".join(map(_plain, word)))


def _dot(nasal: Any) -> str:
    return chr(ord(nasal[0][0]) & ~0x7F | _ANUSVARA)


@lru_cache(maxsize=4096)
def _plain(letter: str) -> str:
    if letter in _PLAIN:
        return _PLAIN[letter]
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    if _is_point(unicodedata.combining(letter)):
        return ""
    base = unicodedata.normalize("NFD", letter)[0]
    if base == letter or not unicodedata.name(base, "").startswith(_ACCENTED):
        return letter
    return _plain(base)


def _is_point(combining_class: int) -> bool:
    """Points of Hebrew and Arabic, strokes, and the diacritics that no composed letter has."""
    return combining_class == 1 or 10 <= combining_class <= 36 or combining_class >= 200
