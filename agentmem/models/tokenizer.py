"""The byte-level tokenizer of a model bundle, reduced to what memory needs.

Byte pair encoding: a text is split into words by a pattern, a word into its bytes, and then the two
neighbors that were joined first in training are joined, over and over. The folder itself is an
ordinary `PreTrainedTokenizerFast` folder. The library that reads those, `tokenizers`, gives the
same ids, but depends on a dozen packages that fetch files from a hub, so it is not needed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from heapq import heapify, heappop, heappush
from itertools import chain
from pathlib import Path
from typing import Any, Final

import regex

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.characters import NEWER_THAN_UNICODE_16

PAD, BOS, EOS = 0, 1, 2
# Token ids are baked into every stored latent, so ids for a reader's chat format are reserved from
# the start.
SPECIAL_TOKENS = (
    "<|pad|>",
    "<|bos|>",
    "<|eos|>",
    "<|memory|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|tool|>",
)
_FILE: Final = "tokenizer.json"
# Words that are kept with their ids, and how long one may be for that.
_CACHED_WORDS: Final = 1 << 15
_CACHED_CHARS: Final = 48
# What a byte is called in the vocabulary: printable ones by their character, others by those that
# follow on the first 256.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF: Final = {256 + number: byte for number, byte in enumerate(_OTHERS)}
_NAMES: Final = [
    chr(byte if byte in _PRINTABLE else 256 + _OTHERS.index(byte)) for byte in range(256)
]
# All that the settings of a byte-level tokenizer may be, other than its words.
_MODEL: Final = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "ignore_merges": False,
}


class ByteTokenizer:
    """Text to token ids and back, exactly, for every Unicode string without lone surrogates.

    Text that looks like a special token is plain text: it comes back unchanged.

    Args:
        pattern: Splits a text into words, and leaves nothing out.
        vocab: Ids of tokens by their names, in which a character stands for each byte.
        merges: Pairs of tokens that make another one, those that were joined first first.
    """

    def __init__(
        self, pattern: str, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]
    ) -> None:
        self._pattern = regex.compile(pattern)
        self._bytes = [b""] * (max(vocab.values()) + 1)
        for id, token in zip(vocab.values(), _as_bytes(vocab), strict=True):
            self._bytes[id] = token
        self._first = [vocab[name] for name in _NAMES]
        self._merges = {
            (vocab[left], vocab[right]): (rank, vocab[left + right])
            for rank, (left, right) in enumerate(merges)
        }
        self._vocab_size = len(vocab)
        self._known: Callable[[str], tuple[int, ...]] = lru_cache(_CACHED_WORDS)(self._join)

    @classmethod
    def from_folder(cls, folder: str | Path) -> ByteTokenizer:
        """Load ``tokenizer.json`` from a folder.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is damaged, or of a tokenizer of another kind.
        """
        file = Path(folder) / _FILE
        if not file.is_file():
            raise ModelNotFoundError(f"no {_FILE} in {str(folder)!r}")
        try:
            return cls(*_read(json.loads(file.read_bytes())))
        except (ValueError, KeyError, TypeError, AttributeError, regex.error) as error:
            raise ModelError(
                f"{str(file)!r} is not of a byte-level tokenizer as `agentmem train tokenizer` "
                f"makes it ({type(error).__name__}: {error})"
            ) from error

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self._vocab_size

    def encode(self, text: str) -> list[int]:
        """The token ids of a text."""
        return list(chain.from_iterable(map(self._ids, self._words(text))))

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The token ids of a text and, for each, the code points it touches as (start, end)."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        start = 0
        for word in self._words(text):
            # Of each byte, the code point that it is of.
            owners = [at for at, one in enumerate(word, start) for _ in one.encode()]
            at = 0
            for id in self._ids(word):
                end = at + len(self._bytes[id])
                ids.append(id)
                offsets.append((owners[at], owners[end - 1] + 1))
                at = end
            start += len(word)
        return ids, offsets

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; bytes that are not UTF-8 become U+FFFD.

        Exact for what `encode` made. Latents may regenerate other ids, so this never raises.
        """
        known = len(self._bytes)
        return b"".join(self._bytes[id] for id in ids if id < known).decode("utf-8", "replace")

    def _words(self, text: str) -> Iterator[str]:
        end = 0
        # As what is no letter, mark or digit.
        shape = text if text.isascii() else _newer().sub("\uffff", text)
        for match in self._pattern.finditer(shape):
            if match.start() > end:
                yield text[end : match.start()]
            end = match.end()
            yield text[match.start() : end]
        if end < len(text):
            yield text[end:]

    def _ids(self, word: str) -> tuple[int, ...]:
        return self._known(word) if len(word) <= _CACHED_CHARS else self._join(word)

    def _join(self, word: str) -> tuple[int, ...]:
        """The ids of a word: of its bytes, joined for as long as two neighbors make a token."""
        ids = [self._first[byte] for byte in word.encode()]
        merges, size = self._merges, len(ids)
        before, after = list(range(-1, size - 1)), list(range(1, size + 1))
        waiting = [
            (merges[pair][0], at, pair)
            for at, pair in enumerate(zip(ids, ids[1:], strict=False))
            if pair in merges
        ]
        heapify(waiting)
        while waiting:
            _, at, pair = heappop(waiting)
            following = after[at]
            # One of the two may be part of another token by now.
            if following >= size or (ids[at], ids[following]) != pair:
                continue
            ids[at], ids[following] = merges[pair][1], -1
            after[at] = after[following]
            if after[at] < size:
                before[after[at]] = at
            for left in (before[at], at):
                right = after[left] if left >= 0 else size
                if right < size and (found := merges.get((ids[left], ids[right]))):
                    heappush(waiting, (found[0], left, (ids[left], ids[right])))
        return tuple(id for id in ids if id >= 0)


def _read(saved: dict[str, Any]) -> tuple[str, dict[str, int], list[tuple[str, str]]]:
    """What a tokenizer is made of, from its file.

    Raises:
        ValueError: It does something that is not done here. So do other errors, of what is missing.
    """
    model = saved["model"]
    split, bytewise = saved["pre_tokenizer"]["pretokenizers"]
    same = {
        "model": (model["type"], "BPE"),
        "normalizer": (saved["normalizer"], None),
        "split": (
            (split["type"], split["behavior"], split["invert"]),
            ("Split", "Isolated", False),
        ),
        "pre_tokenizer": (
            (bytewise["type"], bytewise["add_prefix_space"], bytewise["use_regex"]),
            ("ByteLevel", False, False),
        ),
        "decoder": (saved["decoder"]["type"], "ByteLevel"),
        **{name: (model.get(name, value), value) for name, value in _MODEL.items()},
    }
    for name, (found, wanted) in same.items():
        if found != wanted:
            raise ValueError(f"{name} is {found!r:.100}, not {wanted!r}")
    added = {one["content"]: one["id"] for one in saved["added_tokens"]}
    merges = [one.split(" ") if isinstance(one, str) else one for one in model["merges"]]
    return (
        split["pattern"]["Regex"],
        model["vocab"] | added,
        [(left, right) for left, right in merges],
    )


@cache
def _newer() -> regex.Pattern[str]:
    return regex.compile(NEWER_THAN_UNICODE_16.pattern())


def _as_bytes(names: Collection[str]) -> Iterator[bytes]:
    """What tokens stand for; translated together, which takes a part of the time of one by one."""
    data = "".join(names).translate(_BYTE_OF).encode("latin-1")
    end = 0
    for name in names:
        start, end = end, end + len(name)
        yield data[start:end]
