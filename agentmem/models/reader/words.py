"""A language model's words: its token ids, and how they meet the bundle's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

from agentmem.models.tokenizer import BOS, EOS, ByteTokenizer


class Words(Protocol):
    """Text to a language model's token ids and back."""

    @property
    def start(self) -> list[int]:
        """Ids that every text begins with; may be empty."""

    @property
    def end(self) -> int:
        """The id that ends an answer."""

    @property
    def pad(self) -> int:
        """The id that fills a batch."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, counted from 0."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""

    def of_chunk(self, ids: Sequence[int]) -> list[int]:
        """The bundle's token ids of a text to the language model's."""


class BundleWords:
    """A language model that speaks the bundle's own tokens."""

    start, end, pad = [BOS], EOS, 0

    def __init__(self, tokenizer: ByteTokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab_size = tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        """See `Words.encode`."""
        return self._tokenizer.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Words.decode`."""
        return self._tokenizer.decode(ids)

    def of_chunk(self, ids: Sequence[int]) -> list[int]:
        """The same ids."""
        return list(ids)


class OwnWords:
    """A language model with a tokenizer of its own."""

    def __init__(self, tokenizer: Any, bundle: ByteTokenizer) -> None:
        """Take what the tokenizer says.

        Args:
            tokenizer: A Hugging Face tokenizer.
            bundle: The tokenizer of the memories.

        Raises:
            ValueError: the tokenizer has no end-of-text token.
        """
        if tokenizer.eos_token_id is None:
            raise ValueError("its tokenizer has no eos_token: answers could not end")
        self.tokenizer, self._bundle = tokenizer, bundle
        bos = tokenizer.bos_token_id
        self.start = [] if bos is None else [bos]
        self.end: int = tokenizer.eos_token_id
        pad = tokenizer.pad_token_id
        self.pad: int = self.end if pad is None else pad
        self.vocab_size = len(tokenizer)

    def encode(self, text: str) -> list[int]:
        """See `Words.encode`."""
        # Text that looks like a special token is text: a memory could end its own answer.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See `Words.decode`."""
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def of_chunk(self, ids: Sequence[int]) -> list[int]:
        """Through the text."""
        return self.encode(self._bundle.decode(ids))

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that stand for the vocabulary."""
        vocabulary = json.dumps(sorted(self.tokenizer.get_vocab().items()))
        return hashlib.sha256(vocabulary.encode()).hexdigest()[:16]


def pieces(words: Words, bundle: ByteTokenizer) -> list[list[int]]:
    """For each token of the bundle, the language model's ids of its text; [] if it has none."""
    if isinstance(words, BundleWords):
        return [[id] for id in range(bundle.vocab_size)]
    texts = [bundle.decode([id]) for id in range(bundle.vocab_size)]
    # A token that is a part of a character has no text of its own.
    return [words.encode(text) if "\N{REPLACEMENT CHARACTER}" not in text else [] for text in texts]
