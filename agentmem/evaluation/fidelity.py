"""How much of a text its latents keep, and what they weigh beside other ways to store it.

Everything is measured at every density on the chunks that `Memory.add` would make. What is right
or exact is so from the latents alone, unless the name says patch or bytes. ``exact_chunks`` is
the share of chunks that need no correction, ``exact_chunks_64`` the same where texts are cut into
chunks of 64 tokens at most.
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
    RivalBytes,
    huffman_lengths,
    rival_bytes,
    train_dictionary,
)
from agentmem.evaluation.coding import (
    automatic,
    automatic_places,
    exact_share,
    fidelities,
    measure,
)
from agentmem.evaluation.random_tokens import CHUNK_TOKENS, random_chunks
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.ingest.chunk import Piece, chunk_text
from agentmem.models.base import AUTO, MIN_FIDELITY, MemoryModel

Progress = Callable[[int, int], None]
ItemT = TypeVar("ItemT")

_RANDOM_CHUNKS = 500
# Of the short chunks this many are measured, spread evenly over the file: the share of exact ones
# is then known to 0.3 points (one standard error at 97 %), for a tenth of the time.
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
        limit: At most so many records of each file.
        seed: For the random tokens.
        on_progress: Called with the numbers of files done and of all.

    Raises:
        InputError: a file holds no text, or two files have the same name.
    """
    import torch

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
            "weights": bundle.latents_fingerprint,
            "densities": list(bundle.densities),
            "min_fidelity": MIN_FIDELITY,
        },
        seed=seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=torch.get_num_threads(),
    )


def _file(path: Path, model: MemoryModel, limit: int | None) -> dict[str, Any]:
    texts = [text for record in islice(read_records(path), limit) for text in record_texts(record)]
    chunks = _chunks(texts, model, model.max_tokens)
    if not chunks:
        raise InputError(f"{path.name!r} holds no text")
    short = _spread(_chunks(texts, model, CHUNK_TOKENS), _SHORT_CHUNKS)
    rivals = _rivals(chunks, model.tokenizer.vocab_size)
    tokens = sum(len(chunk.ids) for chunk in chunks)
    return {
        "chunks": len(chunks),
        "chunks_64": len(short),
        "tokens": tokens,
        "utf8_bytes_per_token": rivals.utf8 / tokens,
        "densities": _densities(
            [chunk.ids for chunk in chunks],
            [chunk.text for chunk in chunks],
            [chunk.ids for chunk in short],
            model,
        ),
        "rivals": rivals.per_token(tokens),
    }


def _random_tokens(model: MemoryModel, seed: int) -> dict[str, Any]:
    chunks = random_chunks(model.tokenizer, count=_RANDOM_CHUNKS, seed=seed)
    ids, texts = [chunk.ids for chunk in chunks], [chunk.text for chunk in chunks]
    tokens = sum(map(len, ids))
    return {
        "chunks": len(chunks),
        "tokens": tokens,
        "utf8_bytes_per_token": sum(len(text.encode()) for text in texts) / tokens,
        "densities": _densities(ids, texts, None, model),
    }


def _densities(
    ids: Sequence[Sequence[int]],
    texts: Sequence[str],
    short: Sequence[Sequence[int]] | None,
    model: MemoryModel,
) -> dict[str, Any]:
    """Figures by density, and of "auto"; ``short`` is None if the chunks themselves are short."""
    codings = {name: measure(ids, texts, model, density=name) for name in model.densities}
    found = [coding.fidelity for coding in codings.values()]
    if short is not None:
        found = [fidelities(short, model, density=name) for name in model.densities]
    found.append(np.choose(automatic_places(found, MIN_FIDELITY), found))
    codings[AUTO] = automatic(codings, MIN_FIDELITY)
    return {
        name: {**coding.figures(), "exact_chunks_64": exact_share(fidelity)}
        for (name, coding), fidelity in zip(codings.items(), found, strict=True)
    }


def _chunks(texts: Sequence[str], model: MemoryModel, max_tokens: int) -> list[Piece]:
    return [
        chunk
        for text in texts
        for chunk in chunk_text(text, model.tokenizer, max_tokens=max_tokens)
    ]


def _spread(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """At most so many items, evenly from the first to the last."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _rivals(chunks: Sequence[Piece], vocab_size: int) -> RivalBytes:
    """Rivals on all chunks; each half is packed by what was trained on the other half."""
    halves = [chunks[0::2], chunks[1::2]]
    sums = [0] * len(fields(RivalBytes))
    for packed, other in (halves, halves[::-1]):
        if not packed:
            continue
        try:
            dictionary = train_dictionary([chunk.text for chunk in other])
        except InputError:
            dictionary = b""  # too little text to train on: plain zstd stands in both columns
        found = rival_bytes(
            [chunk.text for chunk in packed],
            [chunk.ids for chunk in packed],
            dictionary=dictionary,
            code_lengths=huffman_lengths((id for chunk in other for id in chunk.ids), vocab_size),
        )
        sums = [total + value for total, value in zip(sums, astuple(found), strict=True)]
    return RivalBytes(*sums)
