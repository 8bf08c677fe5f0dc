"""Random draws, and the rendering of templates as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, TypeVar

from agentmem.training.reader.personal.library import Library
from agentmem.training.reader.personal.nodes import Scene, Seq, put
from agentmem.training.reader.personal.voices import Voice

_T = TypeVar("_T")

ARTICLE: Final = re.compile(r"\b([aA])_ (.?.?.?)")
_SPACE: Final = re.compile(r" {2,}| +(?=[?.,;!])")
_SENTENCE: Final = re.compile(r"([.!?] )([a-z])")


def add_n(match: re.Match[str]) -> str:
    """Turn "a_" into "a" or "an", as what follows asks for."""
    after = match[2].lower()
    vowel = after[:1] in ("a", "e", "i", "o", "u", "8") and after not in (
        "uni", "eur", "one", "use", "usb", "uti", "uku", "ux ", "uk "
    )  # fmt: skip
    return f"{match[1]}{'n' if vowel or after in ('11 ', '18 ') else ''} {match[2]}"


class Renderer:
    """Draws from pools and renders templates; the base of every stage."""

    def __init__(self, rng: Random, library: Library) -> None:
        self.random = rng.random
        self.rng = rng
        self.library = library
        self.scene = Scene(rng.random)
        self.draw_scene = Scene(rng.random)

    def pick(self, items: Sequence[_T]) -> _T:
        """One of several items, uniformly."""
        return items[int(self.random() * len(items))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pool(self, name: str) -> str:
        """A text from a pool."""
        self.scene.values, self.scene.voice, self.scene.used = {}, None, set()
        out: list[str] = []
        self.library.pools[name].put(out, self.scene)
        text = "".join(out)
        return ARTICLE.sub(add_n, text) if "a_ " in text.lower() else text

    def render(
        self, seq: Seq, values: Mapping[str, str], voice: Voice | None
    ) -> tuple[str, frozenset[str]]:
        """A text from a template, and the variables that it used."""
        scene = self.scene
        scene.values, scene.voice, scene.used = values, voice, set()
        scene.offset, scene.mentioned = 0, False
        out: list[str] = []
        put(seq, out, scene)
        text = "".join(out)
        if "a_ " in text:
            text = ARTICLE.sub(add_n, text)
        if "  " in text or " ?" in text or " ," in text or " ." in text:
            text = _SPACE.sub(
                lambda match: (
                    " " if match.end() < len(text) and text[match.end()] not in "?.,;!" else ""
                ),
                text,
            )
        return text.strip(), frozenset(scene.used)

    @staticmethod
    def tidy(text: str) -> str:
        """Begin each sentence with a capital letter."""
        return text[:1].upper() + _SENTENCE.sub(lambda m: m[1] + m[2].upper(), text[1:])
