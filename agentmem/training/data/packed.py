"""Corpus files as token ids on disk, and batches of windows cut from them.

A batch is a pure function of (seed, step): resuming a run needs no data state, and every process of
a distributed run draws the same batch and takes its own rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentmem.corpus import read_records, record_texts
from agentmem.errors import InputError
from agentmem.models.layers.padding import pad_rows
from agentmem.models.tokenizer import SPECIAL_TOKENS, ByteTokenizer

_BATCH = 2048


@dataclass(frozen=True, slots=True)
class PackedFile:
    """The texts of one corpus file as token ids.

    Attributes:
        name: The corpus file's name.
        ids: uint16 array of shape (N,), all texts concatenated, memory-mapped.
        starts: int64 array of shape (texts + 1,), where each text begins; the last entry is N.
    """

    name: str
    ids: NDArray[np.uint16]
    starts: NDArray[np.int64]


def pack(
    file: str | Path,
    tokenizer_folder: str | Path,
    cache: str | Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> PackedFile:
    """Tokenize a corpus file once and cache the ids; later calls memory-map them.

    The cache entry is named by the file's name, size and tokenizer, so a changed input is a new
    entry.

    Raises:
        InputError: the file is damaged or has no text.
    """
    file, cache = Path(file), Path(cache)
    tokenizer_json = Path(tokenizer_folder) / "tokenizer.json"
    stamp = hashlib.sha256(tokenizer_json.read_bytes())
    stamp.update(f"{file.name}:{file.stat().st_size}".encode())
    folder = cache / f"{file.name.split('.')[0]}-{stamp.hexdigest()[:12]}"
    if not (folder / "done.json").exists():
        progress(f"tokenizing {file.name}")
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = ByteTokenizer.from_folder(tokenizer_folder)
        ids: list[NDArray[np.uint16]] = []
        texts: list[str] = []

        def flush() -> None:
            ids.extend(np.array(row, dtype=np.uint16) for row in tokenizer.encode_batch(texts))
            texts.clear()

        for record in read_records(file):
            texts.extend(record_texts(record))
            if len(texts) >= _BATCH:
                flush()
        flush()
        if not ids:
            raise InputError(f"corpus file {file.name!r} has no text")
        starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
        np.save(folder / "ids.npy", np.concatenate(ids))
        np.save(folder / "starts.npy", starts)
        # Written last: a folder without it was interrupted and is rebuilt.
        (folder / "done.json").write_text(json.dumps({"file": file.name, "texts": len(ids)}))
    return PackedFile(
        file.name, np.load(folder / "ids.npy", mmap_mode="r"), np.load(folder / "starts.npy")
    )


class Windows:
    """Batches of token windows drawn from packed files.

    A window starts at the start of a text or anywhere (half each), and ends with its text or
    continues into the next (half each), so that chunks of every length and position occur, and long
    batches stay full. ``random_share`` of the rows are uniformly random ids, which a learned code
    loses first.
    """

    def __init__(
        self,
        files: Sequence[PackedFile],
        *,
        weights: Sequence[float],
        lengths: Sequence[int],
        tokens_per_batch: int,
        vocab_size: int,
        random_share: float,
        seed: int,
    ) -> None:
        self.files = list(files)
        self.weights = np.array(weights, dtype=np.float64) / sum(weights)
        self._lengths = list(lengths)
        self._tokens = tokens_per_batch
        self._vocab_size = vocab_size
        self._random_share = random_share
        self._seed = seed

    def frequencies(self) -> NDArray[np.float64]:
        """Relative frequencies (V,) of token ids in the files, weighted like the files."""
        shares = [
            np.bincount(file.ids, minlength=self._vocab_size) / len(file.ids) for file in self.files
        ]
        return np.asarray(np.average(shares, axis=0, weights=self.weights))

    def batch(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The batch of a step: ids int64 (B, T), padded, and mask bool (B, T)."""
        rng = np.random.default_rng([self._seed, step])
        length = int(rng.choice(self._lengths))
        rows = [self._row(rng, length) for _ in range(max(1, self._tokens // length))]
        # Padded to the length drawn even if no row fills it: few shapes, few compiled kernels.
        return pad_rows(rows, length)

    def _row(self, rng: np.random.Generator, length: int) -> NDArray[np.int64]:
        if rng.random() < self._random_share:
            return rng.integers(len(SPECIAL_TOKENS), self._vocab_size, length)
        file = self.files[int(rng.choice(len(self.files), p=self.weights))]
        anywhere = int(rng.integers(0, len(file.ids)))
        text = int(np.searchsorted(file.starts, anywhere, side="right")) - 1
        start = int(file.starts[text]) if rng.random() < 0.5 else anywhere
        end = int(file.starts[text + 1]) if rng.random() < 0.5 else len(file.ids)
        return np.asarray(file.ids[start : min(start + length, end)], dtype=np.int64)
