"""How a speaker names the owner of a fact: I, you, Ana, my sister."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MACROS: Final = (
    "I'm", "I've", "I'll", "I'd", "I", "myself", "my", "mine", "me", "she", "her", "him"
)  # fmt: skip
MACRO: Final = re.compile(r"\$(I'm|I've|I'll|I'd|I|myself|mine|my|me|she|her|him)(?![A-Za-z])")


class Voice:
    """How a speaker names the owner of a fact, and which verb form goes with it."""

    __slots__ = ("again", "form", "words")

    def __init__(self, words: Sequence[str], form: int) -> None:
        self.words = dict(zip(MACROS, words, strict=True))
        self.form = form
        # The words for a second mention within one sentence.
        she, be, have = self.words["she"], "are", "have"
        if form == 2:
            be, have = "is", "has"
        self.again = self.words if form < 2 else self.words | {
            "I": she, "my": self.words["her"], "me": self.words["him"], "I'm": f"{she} {be}",
            "I've": f"{she} {have}", "I'll": f"{she} will", "I'd": f"{she} would",
        }  # fmt: skip

    def fill(self, text: str, again: bool) -> str:
        """Replace the owner macros left in a drawn value."""
        words = self.again if again else self.words
        return MACRO.sub(lambda match: words[match[1]], text)


SPEAKER: Final = Voice(
    ("I'm", "I've", "I'll", "I'd", "I", "myself", "my", "mine", "me", "I", "my", "me"), 0
)
LISTENER: Final = Voice(
    ("you're", "you've", "you'll", "you'd", "you", "yourself", "your", "yours", "you", "you",
     "your", "you"), 1,
)  # fmt: skip
HOUSEHOLD: Final = Voice(
    ("we're", "we've", "we'll", "we'd", "we", "ourselves", "our", "ours", "us", "we", "our",
     "us"), 3,
)  # fmt: skip


def third_person(name: str, gender: str) -> Voice:
    """The voice for someone spoken of by name; gender "p" is for a pair of people."""
    she, her, him, self, form = {
        "f": ("she", "her", "her", "herself", 2),
        "m": ("he", "his", "him", "himself", 2),
        "p": ("they", "their", "them", "themselves", 3),
    }[gender]
    be, have = ("are", "have") if form == 3 else ("is", "has")
    own = f"{name}'s"
    words = (
        f"{name} {be}", f"{name} {have}", f"{name} will", f"{name} would", name, self, own, own,
        name, she, her, him,
    )  # fmt: skip
    return Voice(words, form)
