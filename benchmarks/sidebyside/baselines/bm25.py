"""BM25 from the library bm25s, in memory: one index per conversation and one of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import bm25s
import Stemmer

from benchmarks.sidebyside.baselines.ranking import best
from benchmarks.sidebyside.data import NumberedTurn


class Bm25:
    """English stop words and the library's own k1 and b; with Porter's second stemmer or none.

    The library has no filter: who uses it for several people makes an index for each. What shares
    no word with the question is not found.
    """

    packages: ClassVar[tuple[str, ...]] = ("bm25s", "PyStemmer")
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path, *, stemmed: bool = True) -> None:
        """Nothing to create yet; indexes are in memory, so ``folder`` stays empty."""
        self._stemmer = Stemmer.Stemmer("english") if stemmed else None
        self._turns: dict[str, list[NumberedTurn]] = {}
        self._indexes: dict[str, bm25s.BM25] = {}
        self._everything: bm25s.BM25 | None = None

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Index a conversation."""
        self._turns[conversation] = list(turns)
        self._indexes[conversation] = self._index(turns)
        self._everything = None

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns that share words with the question."""
        if conversation is None:
            turns = [turn for turns in self._turns.values() for turn in turns]
            index = self._everything = self._everything or self._index(turns)
        else:
            turns, index = self._turns[conversation], self._indexes[conversation]
        (words,) = self._words([question])
        known = [word for word in words if word in index.vocab_dict]
        if not known:
            return []
        scores = index.get_scores(known)
        return [turns[place].number for place in best(scores, k) if scores[place] > 0]

    def close(self) -> None:
        """Nothing is on disk."""

    def _index(self, turns: Sequence[NumberedTurn]) -> bm25s.BM25:
        index = bm25s.BM25()
        index.index(self._words([turn.text for turn in turns]), show_progress=False)
        return index

    def _words(self, texts: Sequence[str]) -> list[list[str]]:
        words: list[list[str]] = bm25s.tokenize(
            list(texts),
            stopwords="en",
            stemmer=self._stemmer,
            return_ids=False,
            show_progress=False,
        )
        return words
