"""An answer told while it is written."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from agentmem.models.reader.prompts import answer_text
from agentmem.models.reader.words import Words

OnText = Callable[[str], None]


class Pieces(BaseStreamer):
    """Hands on the text of an answer while its ids come; the pieces joined are the answer."""

    def __init__(self, words: Words, on_text: OnText) -> None:
        self._words, self._on_text = words, on_text
        # `generate` hands over the prompt's ids first, none if it was embeddings.
        self._skip = True
        self._ids: list[int] = []
        self._told = ""

    def put(self, value: Tensor) -> None:
        """The next ids, int64 (1,), or at first the prompt's, (1, T)."""
        if self._skip:
            self._skip = False
            return
        self._ids.extend(value.flatten().tolist())
        text = answer_text(self._words, self._ids)
        # A character may come in several tokens.
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self._tell(text)

    def end(self) -> None:
        """The answer is whole."""
        self._tell(answer_text(self._words, self._ids))

    def _tell(self, text: str) -> None:
        if len(text) > len(self._told):
            self._on_text(text[len(self._told) :])
            self._told = text
