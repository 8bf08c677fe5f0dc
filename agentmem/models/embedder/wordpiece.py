"""The tokenizer of BERT: words of a text in plain form, each in the longest pieces there are.

The library that reads such files, `tokenizers`, gives the same ids; see `agentmem.models.tokenizer`
for why it is not needed.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import regex

from agentmem.models.characters import ACCENTS, CONTROLS, PUNCTUATION

_CACHED_WORDS: Final = 1 << 15
_CHINESE: Final = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPieceTokenizer:
    """Text to the ids that a BERT-like model takes, special tokens around them.

    Args:
        file: A ``tokenizer.json``.
        max_tokens: Of the ids; those of what comes behind are left out.

    Raises:
        ValueError: It is damaged, or of a tokenizer of another kind.
        OSError: It cannot be read.
    """

    def __init__(self, file: Path, max_tokens: int) -> None:
        try:
            self._read(json.loads(file.read_bytes()))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not of a tokenizer as BERT has it: {error}") from error
        self._room = max(0, max_tokens - len(self._before) - len(self._after))
        self._known: Callable[[str], tuple[int, ...]] = lru_cache(_CACHED_WORDS)(self._pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = []
        for word in self._words(text):
            ids += (self._special[word],) if word in self._special else self._known(word)
            if len(ids) >= self._room:
                break
        return [*self._before, *ids[: self._room], *self._after]

    def _read(self, saved: dict[str, Any]) -> None:
        model, normalizer = saved["model"], saved["normalizer"]
        kinds = [model["type"], normalizer["type"], saved["pre_tokenizer"]["type"]]
        if kinds != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
            raise ValueError(f"it is not of a tokenizer as BERT has it: {kinds!r}")
        self._vocab: dict[str, int] = model["vocab"]
        self._unknown = self._vocab[model["unk_token"]]
        self._prefix: str = model["continuing_subword_prefix"]
        self._most_chars: int = model["max_input_chars_per_word"]
        lowercase = normalizer["lowercase"]
        strip = normalizer["strip_accents"]
        self._clean = _Cleaned(
            clean=normalizer["clean_text"], chinese=normalizer["handle_chinese_chars"]
        )
        self._plain = _Plain(strip=lowercase if strip is None else strip, lowercase=lowercase)
        self._before, self._after = _around(saved["post_processor"])
        self._special: dict[str, int] = {}
        for one in saved["added_tokens"]:
            if one["normalized"] or one["lstrip"] or one["rstrip"] or one["single_word"]:
                raise ValueError(f"its special token {one['content']!r} takes more than itself")
            self._special[one["content"]] = one["id"]
        longest = sorted(self._special, key=len, reverse=True)
        self._specials = regex.compile(f"({'|'.join(map(regex.escape, longest))})")

    def _words(self, text: str) -> Iterator[str]:
        parts = self._specials.split(text) if self._special else [text]
        for number, part in enumerate(parts):
            if number % 2:
                yield part
            else:
                # White space and punctuation have spaces around them by now.
                plain = part.translate(self._clean)
                if self._plain.strip and not plain.isascii():
                    plain = unicodedata.normalize("NFD", plain)
                yield from plain.translate(self._plain).split(" ")

    def _pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > self._most_chars:
            return (self._unknown,)
        ids = []
        start = 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(len(word), start, -1):
                if (id := self._vocab.get(prefix + word[start:end])) is not None:
                    break
            else:
                return (self._unknown,)
            ids.append(id)
            start = end
        return tuple(ids)


class _Cleaned(dict[int, str | None]):
    """For `str.translate`: no control characters, plain spaces, Chinese ones by themselves."""

    def __init__(self, *, clean: bool, chinese: bool) -> None:
        super().__init__()
        self._clean, self._chinese = clean, chinese

    def __missing__(self, point: int) -> str | None:
        char: str | None = chr(point)
        if self._clean:
            char = _cleaned(chr(point))
        if self._chinese and any(first <= point <= last for first, last in _CHINESE):
            char = f" {char} "
        self[point] = char
        return char


class _Plain(dict[int, str | None]):
    """For `str.translate`: without accents, in lower case, punctuation by itself."""

    def __init__(self, *, strip: bool, lowercase: bool) -> None:
        super().__init__()
        self.strip, self._lowercase = strip, lowercase

    def __missing__(self, point: int) -> str | None:
        char = chr(point)
        made: str | None = None
        if not self.strip or char not in ACCENTS:
            # By itself, since a final sigma is one like any other here.
            lower = char.lower() if self._lowercase else char
            made = "".join(f" {one} " if one in PUNCTUATION else one for one in lower)
            made = " " if made.isspace() else made
        self[point] = made
        return made


def _cleaned(char: str) -> str | None:
    if char in CONTROLS:
        return None
    return " " if char.isspace() else char


def _around(processor: dict[str, Any]) -> tuple[list[int], list[int]]:
    """The ids before and after those of a text."""
    if processor["type"] == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    if processor["type"] != "TemplateProcessing":
        raise ValueError(f"it is processed by {processor['type']!r}")
    around: tuple[list[int], list[int]] = ([], [])
    behind = 0
    for one in processor["single"]:
        if "Sequence" in one:
            behind = 1
        else:
            around[behind].extend(processor["special_tokens"][one["SpecialToken"]["id"]]["ids"])
    return around
