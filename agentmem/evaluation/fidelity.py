"""Evaluates fidelity: how much of a text its latents keep, and their size compared with baselines.

Everything is measured with every quantization on the chunks that `Memory.add` would make. Accuracy
is that of the latents alone, without patches, unless the name says otherwise. ``exact_chunks`` is
the share of chunks that need no patch, ``exact_chunks_64`` the same for texts cut into chunks of at
most 64 tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agentmem.corpus import read_records, record_texts
from agentmem.errors import InputError
from agentmem.evaluation.baselines import (
    BaselineBytes,
    baseline_bytes,
    huffman_lengths,
    train_dictionary,
)
from agentmem.evaluation.coding import (
    automatic,
    automatic_indices,
    exact_share,
    fidelities,
    measure,
)
from agentmem.evaluation.random_tokens import CHUNK_TOKENS, random_chunks
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.ingest.chunk import Piece, chunk_text
from agentmem.ingest.threads import thread_count
from agentmem.models.base import AUTO, MIN_FIDELITY, MemoryModel

Progress = Callable[[int, int], None]
ItemT = TypeVar("ItemT")

_RANDOM_CHUNKS = 500
# Number of short chunks measured, spread evenly over the file: the share of exact ones is then
# known to 0.3 points (one standard error at 97 %), in a tenth of the time.
_SHORT_CHUNKS = 3000


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
        limit: Number of records of each file, at most; None means all.
        seed: For the random tokens.
        on_progress: Called with the numbers of files done and of all.

    Raises:
        InputError: a file contains no text, or two files have the same name.
    """
    from agentmem.models.bundle.load import load_bundle

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
        config={
            "data": names,
            "limit": limit,
            "model": bundle.name,
            "weights": bundle.codec.fingerprint,
            "quantizations": list(bundle.codec.quantizations),
            "min_fidelity": MIN_FIDELITY,
        },
        seed=seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=thread_count(),
    )


def _file(path: Path, model: MemoryModel, limit: int | None) -> dict[str, Any]:
    texts = [text for record in islice(read_records(path), limit) for text in record_texts(record)]
    chunks = _chunks(texts, model, model.codec.max_tokens)
    if not chunks:
        raise InputError(f"{path.name!r} contains no text")
    short = _spread(_chunks(texts, model, CHUNK_TOKENS), _SHORT_CHUNKS)
    baselines = _baselines(chunks, model.tokenizer.vocab_size)
    tokens = sum(len(chunk.ids) for chunk in chunks)
    return {
        "chunks": len(chunks),
        "chunks_64": len(short),
        "tokens": tokens,
        "utf8_bytes_per_token": baselines.utf8 / tokens,
        "quantizations": _quantizations(
            [chunk.ids for chunk in chunks],
            [chunk.text for chunk in chunks],
            [chunk.ids for chunk in short],
            model,
        ),
        "baselines": baselines.per_token(tokens),
    }


def _random_tokens(model: MemoryModel, seed: int) -> dict[str, Any]:
    chunks = random_chunks(model.tokenizer, count=_RANDOM_CHUNKS, seed=seed)
    ids, texts = [chunk.ids for chunk in chunks], [chunk.text for chunk in chunks]
    tokens = sum(map(len, ids))
    return {
        "chunks": len(chunks),
        "tokens": tokens,
        "utf8_bytes_per_token": sum(len(text.encode()) for text in texts) / tokens,
        "quantizations": _quantizations(ids, texts, None, model),
    }


def _quantizations(
    ids: Sequence[Sequence[int]],
    texts: Sequence[str],
    short: Sequence[Sequence[int]] | None,
    model: MemoryModel,
) -> dict[str, Any]:
    """Metrics by quantization and of "auto"; ``short``: None if the chunks are short themselves."""
    codings = {
        name: measure(ids, texts, model.codec, quantization=name)
        for name in model.codec.quantizations
    }
    by_quantization = [coding.fidelity for coding in codings.values()]
    if short is not None:
        by_quantization = [
            fidelities(short, model.codec, quantization=name) for name in model.codec.quantizations
        ]
    chosen = automatic_indices(by_quantization, MIN_FIDELITY)
    by_quantization.append(np.choose(chosen, by_quantization))
    codings[AUTO] = automatic(codings, MIN_FIDELITY)
    return {
        name: {**coding.figures(), "exact_chunks_64": exact_share(fidelity)}
        for (name, coding), fidelity in zip(codings.items(), by_quantization, strict=True)
    }


def _chunks(texts: Sequence[str], model: MemoryModel, max_tokens: int) -> list[Piece]:
    return [
        chunk
        for text in texts
        for chunk in chunk_text(text, model.tokenizer, max_tokens=max_tokens)
    ]


def _spread(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """At most ``most`` items, evenly spaced from the first to the last."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _baselines(chunks: Sequence[Piece], vocab_size: int) -> BaselineBytes:
    """Baselines on all chunks; each half is compressed with what was trained on the other."""
    halves = [chunks[0::2], chunks[1::2]]
    sums = [0] * len(fields(BaselineBytes))
    for packed, other in (halves, halves[::-1]):
        if not packed:
            continue
        try:
            dictionary = train_dictionary([chunk.text for chunk in other])
        except InputError:
            dictionary = b""  # too little text to train on: plain zstd in both columns
        compressed = baseline_bytes(
            [chunk.text for chunk in packed],
            [chunk.ids for chunk in packed],
            dictionary=dictionary,
            code_lengths=huffman_lengths((id for chunk in other for id in chunk.ids), vocab_size),
        )
        sums = [total + value for total, value in zip(sums, astuple(compressed), strict=True)]
    return BaselineBytes(*sums)
