"""The byte-level tokenizer of a model bundle, reduced to what memory needs.

Loaded with the `tokenizers` library alone: opening a store must not wait for transformers'
tokenizer machinery. The folder itself is an ordinary `PreTrainedTokenizerFast` folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from agentmem.errors import ModelNotFoundError

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


class ByteTokenizer:
    """Text to token ids and back, exactly, for every Unicode string without lone surrogates."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        # Text that looks like a special token is plain text: it must come back unchanged.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer

    @classmethod
    def from_folder(cls, folder: str | Path) -> ByteTokenizer:
        """Load ``tokenizer.json`` from a folder.

        Raises:
            ModelNotFoundError: there is no such file.
        """
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            raise ModelNotFoundError(f"no tokenizer.json in {str(folder)!r}")
        return cls(Tokenizer.from_file(str(file)))

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The token ids of a text and, for each, the code points it touches as (start, end)."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts, on several threads."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; bytes that are not UTF-8 become U+FFFD.

        Exact for what `encode` made. Latents may regenerate other ids, so this never raises.
        """
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text
