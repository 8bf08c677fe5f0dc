"""How much of a text its latents keep, and what they weigh beside other ways to store it.

Everything is measured on the chunks that `Memory.add` would make, from int8 latents alone unless
the name says patch. ``exact_chunks`` is the share of chunks that need no correction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from agentmem.chunking import Piece, chunk_text
from agentmem.corpus import read_records, record_texts
from agentmem.errors import InputError
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.evaluation.rivals import RivalBytes, rival_bytes, train_dictionary
from agentmem.models.base import Encoded, Latent, MemoryModel
from agentmem.models.tokenizer import SPECIAL_TOKENS

Progress = Callable[[int, int], None]

_STRIDE = 512
_RANDOM_CHUNKS, _RANDOM_TOKENS = 500, 64


@dataclass(frozen=True, slots=True)
class _Measured:
    """Sums over chunks."""

    chunks: int
    tokens: int
    right: float
    exact: int
    latent_bytes: int
    patch_bytes: int
    byte_exact: bool

    def report(self, utf8_bytes: int) -> dict[str, Any]:
        return {
            "chunks": self.chunks,
            "tokens": self.tokens,
            "token_accuracy": self.right / self.tokens,
            "exact_chunks": self.exact / self.chunks,
            "latent_bytes_per_token": self.latent_bytes / self.tokens,
            "patch_bytes_per_token": self.patch_bytes / self.tokens,
            "utf8_bytes_per_token": utf8_bytes / self.tokens,
            "byte_exact": self.byte_exact,
        }


def evaluate_fidelity(
    data: Sequence[Path],
    *,
    model: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Encode, decode and compare the texts of corpus files, and uniformly random tokens.

    Args:
        data: ``.jsonl`` or ``.jsonl.zst`` files.
        model: A bundle's folder; None means the one that comes with the package.
        limit: At most so many records of each file.
        seed: For the random tokens.
        on_progress: Called with the numbers of files done and of all.

    Raises:
        InputError: a file holds no text, or two files have the same name.
    """
    import torch

    from agentmem.models.bundle import load_bundle

    began = time.perf_counter()
    bundle = load_bundle(None if model is None else str(model))
    names = [path.name for path in data]
    if len(set(names)) < len(names):
        raise InputError(f"two of the files have the same name: {names!r}")
    files: dict[str, Any] = {}
    for index, path in enumerate(data):
        files[path.name] = _file(path, bundle, limit)
        if on_progress is not None:
            on_progress(index + 1, len(data) + 1)
    results = {"files": files, "random_tokens": _random_tokens(bundle, seed)}
    if on_progress is not None:
        on_progress(len(data) + 1, len(data) + 1)
    return build_result(
        "fidelity",
        config={"data": names, "limit": limit, "model": bundle.name, "weights": bundle.fingerprint},
        seed=seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=torch.get_num_threads(),
    )


def _file(path: Path, model: MemoryModel, limit: int | None) -> dict[str, Any]:
    texts = [text for record in islice(read_records(path), limit) for text in record_texts(record)]
    chunks = [
        chunk
        for text in texts
        for chunk in chunk_text(text, model.tokenizer, max_tokens=model.max_tokens)
    ]
    if not chunks:
        raise InputError(f"{path.name!r} holds no text")
    measured = _measure([chunk.ids for chunk in chunks], [c.text for c in chunks], model)
    rivals = _rivals(chunks, model.tokenizer.vocab_size)
    return {**measured.report(rivals.utf8), "rivals": rivals.per_token(measured.tokens)}


def _random_tokens(model: MemoryModel, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    first, last = len(SPECIAL_TOKENS), model.tokenizer.vocab_size
    rows = [
        tuple(rng.integers(first, last, _RANDOM_TOKENS).tolist()) for _ in range(_RANDOM_CHUNKS)
    ]
    texts = [model.tokenizer.decode(row) for row in rows]
    return _measure(rows, None, model).report(sum(len(text.encode()) for text in texts))


def _measure(
    ids: Sequence[Sequence[int]], texts: Sequence[str] | None, model: MemoryModel
) -> _Measured:
    right, exact, latent_bytes, patch_bytes, byte_exact = 0.0, 0, 0, 0, True
    for start in range(0, len(ids), _STRIDE):
        part = ids[start : start + _STRIDE]
        encoded = model.encode(part)
        # Decoded again, in another order than `encode` verified them in: as a recall would.
        latents = list(_latents(encoded, part))
        back = model.regenerate(latents[::-1])[::-1]
        for offset, (item, wanted, found) in enumerate(zip(encoded, part, back, strict=True)):
            right += item.fidelity * len(wanted)
            exact += item.fidelity == 1.0
            latent_bytes += len(wanted) * model.slot_dims
            patch_bytes += len(item.patch)
            same = list(wanted) == found
            if texts is not None:
                same = same and model.tokenizer.decode(found) == texts[start + offset]
            byte_exact = byte_exact and same
    tokens = sum(map(len, ids))
    return _Measured(len(ids), tokens, right, exact, latent_bytes, patch_bytes, byte_exact)


def _latents(encoded: Sequence[Encoded], ids: Sequence[Sequence[int]]) -> Iterator[Latent]:
    for item, row in zip(encoded, ids, strict=True):
        yield Latent(item.latents, len(row), item.patch)


def _rivals(chunks: Sequence[Piece], vocab_size: int) -> RivalBytes:
    """Rivals on all chunks; each half is packed with a dictionary trained on the other half."""
    halves = [chunks[0::2], chunks[1::2]]
    sums = [0, 0, 0, 0]
    for packed, other in (halves, halves[::-1]):
        if not packed:
            continue
        texts = [chunk.text for chunk in packed]
        counts = [len(chunk.ids) for chunk in packed]
        try:
            dictionary = train_dictionary([chunk.text for chunk in other])
        except InputError:
            dictionary = b""  # too little text to train on: plain zstd stands in both columns
        found = rival_bytes(texts, counts, vocab_size=vocab_size, dictionary=dictionary)
        for place, value in enumerate(
            (found.utf8, found.zstd, found.zstd_dictionary, found.id_packing)
        ):
            sums[place] += value
    return RivalBytes(*sums)
