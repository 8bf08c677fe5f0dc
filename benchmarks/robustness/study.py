"""Robustness study: how much of unusual text the latents keep, and the size of the patches.

Learned codes lose what they were not trained on: ids, numbers, other scripts, noise. Every kind of
text in `benchmarks.robustness.samples` is measured with every quantization. ``byte_exact`` says
whether the stored bytes reproduced every chunk; all other accuracies are those of the latents
alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentmem.evaluation.coding import measure
from agentmem.evaluation.random_tokens import CHUNK_TOKENS
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.ingest.threads import thread_count
from agentmem.models.base import MemoryModel
from benchmarks.robustness.samples import KINDS, sample_chunks

Progress = Callable[[int, int], None]


def evaluate_robustness(
    *,
    model: str | Path | None = None,
    chunks: int = 200,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Encode, decode and compare text of every kind.

    Args:
        model: A bundle's folder; None means the one that comes with the package.
        chunks: Number of chunks of each kind, of at most 64 tokens.
        seed: Seed of the generated texts.
        on_progress: Called with the numbers of kinds done and of all.
    """
    from agentmem.models.bundle.load import load_bundle

    began = time.perf_counter()
    bundle = load_bundle(None if model is None else str(model))
    kinds: dict[str, Any] = {}
    for index, kind in enumerate(KINDS):
        kinds[kind] = _kind(kind, bundle, chunks, seed)
        if on_progress is not None:
            on_progress(index + 1, len(KINDS))
    return build_result(
        "robustness",
        config={
            "chunks": chunks,
            "chunk_tokens": CHUNK_TOKENS,
            "model": bundle.name,
            "weights": bundle.codec.fingerprint,
            "quantizations": list(bundle.codec.quantizations),
        },
        seed=seed,
        seconds=time.perf_counter() - began,
        results={"kinds": kinds},
        threads=thread_count(),
    )


def _kind(kind: str, model: MemoryModel, count: int, seed: int) -> dict[str, Any]:
    chunks = sample_chunks(kind, model.tokenizer, count=count, seed=seed)
    ids, texts = [chunk.ids for chunk in chunks], [chunk.text for chunk in chunks]
    tokens = sum(map(len, ids))
    return {
        "chunks": count,
        "tokens": tokens,
        "utf8_bytes_per_token": sum(len(text.encode()) for text in texts) / tokens,
        "quantizations": {
            name: measure(ids, texts, model.codec, quantization=name).figures()
            for name in model.codec.quantizations
        },
    }
