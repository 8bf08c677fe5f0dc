"""Runs the retention study: what a fresh decoder regenerates from a frozen encoder's embedding.

Measure of Badger, arXiv 2602.13466: the encoder under test is frozen, a fresh decoder (the probe)
is trained to regenerate the chunk from its embedding alone, and on held-out chunks

    I = 1 - H(p, q) / H(p0, q)

where H(p, q) is the probe's cross-entropy and H(p0, q) that of a decoder that knows nothing, not
even which tokens are frequent: uniform over the vocabulary, ln V. So I is far above zero for any
embedding, because a probe learns the frequencies of tokens without one. That is measured as well:
the same probe with a blank embedding, trained for as long. ``gain`` is 1 - H(p, q) / H(blank): 0
for an embedding that holds nothing, 1 for one that holds all.

All probes have the same blocks, training chunks and number of steps; none is the autoencoder's own
decoder. Figures are lower bounds: a larger probe, or longer training, may read more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from agentmem.evaluation.result import EvalResult, build_result
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.bundle.manifest import read_manifest, shipped_bundle
from benchmarks.progress import Progress
from benchmarks.retention.causal import fresh_causal, llama_sizes, train_causal
from benchmarks.retention.config import RetentionConfig
from benchmarks.retention.data import StudyChunks
from benchmarks.retention.encoders import BLANK, Encoders
from benchmarks.retention.measure import Measuring

_ROWS = 64


def evaluate_retention(
    config: RetentionConfig,
    *,
    corpus: Path,
    model: Path | None = None,
    cache: Path = Path("runs/cache"),
    on_progress: Progress | None = None,
) -> EvalResult:
    """Run the study, on the CPU.

    Args:
        config: The encoders under test and the budget of training.
        corpus: Folder of the files that the configuration names.
        model: A bundle's folder; None means the one that comes with the package.
        cache: Folder where token ids are kept.
        on_progress: Called after every training step; counts steps.

    Raises:
        ConfigError: a subject has longer chunks than the bundle, or a file is not in the corpus.
        InputError: a file is damaged, or shorter than a chunk.
        MissingExtraError: a subject's package is not installed.
    """
    began, threads = time.perf_counter(), torch.get_num_threads()
    bundle = shipped_bundle() if model is None else model
    manifest = read_manifest(bundle)
    torch.set_num_threads(config.threads)
    try:
        results = _run(config, bundle, corpus, cache, on_progress)
    finally:
        torch.set_num_threads(threads)
    return build_result(
        "retention",
        config={
            **config.model_dump(mode="json"),
            "model": manifest.name,
            "weights": manifest.latents_fingerprint,
        },
        seed=config.seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=config.threads,
    )


def _run(
    config: RetentionConfig,
    bundle: Path,
    corpus: Path,
    cache: Path,
    on_progress: Progress | None,
) -> dict[str, Any]:
    sizes = AutoencoderConfig.from_pretrained(bundle / "autoencoder")
    # The same first weights: training is the only difference between the two.
    untrained, causal = (fresh_causal(sizes, seed=config.seed) for _ in range(2))
    encoders = Encoders(bundle, untrained=untrained, causal=causal)
    # All of them before any training: what cannot be measured is refused at once.
    subjects = [(s, encoders.make(s.encoder, s.tokens)) for s in config.subjects]
    chunks = StudyChunks(
        config.data, corpus=corpus, tokenizer=bundle / "tokenizer", cache=cache, seed=config.seed
    )
    report = _reporter(config, on_progress)
    spoken = _causal(config, causal, chunks, report)

    measuring = Measuring(
        chunks,
        llama_sizes(sizes, layers=config.probe.layers),
        config.probe.optimizer,
        seed=config.seed,
        precision=config.precision,
        report=report,
    )
    shortest = min(subject.tokens for subject in config.subjects)
    rows, traps = [measuring.retention("blank", shortest, BLANK)], []
    for subject, encoder in subjects:
        rows.append(measuring.retention(subject.encoder, subject.tokens, encoder))
        if subject.trap:
            traps.append(measuring.trap(subject.encoder, subject.tokens, encoder))
    uniform, blank = math.log(sizes.vocab_size), rows[0]["nats"]
    for row in rows:
        row["entropy_ratio"] = 1 - row["nats"] / uniform
        row["gain"] = 1 - row["nats"] / blank
    return {"uniform_nats": uniform, "encoders": rows, "trap": traps, "causal": spoken}


def _causal(
    config: RetentionConfig,
    model: LlamaForCausalLM,
    chunks: StudyChunks,
    report: Callable[[str], None],
) -> dict[str, Any] | None:
    """Train the language model, if a subject needs it; its held-out loss says how good it is."""
    lengths = _causal_lengths(config)
    if not lengths:
        return None
    tokens = max(lengths)
    train_causal(
        model,
        lambda step: chunks.train(tokens, step),
        config.causal,
        precision=config.precision,
        report=lambda step, loss: report(f"causal language model, loss {loss:.2f}"),
    )
    model.requires_grad_(False)
    with torch.no_grad():
        losses = [
            model(input_ids=ids, labels=ids).loss.repeat(len(ids))
            for ids in torch.split(chunks.dev(tokens), _ROWS)
        ]
    return {"tokens": tokens, "next_token_nats": float(torch.cat(losses).mean())}


def _causal_lengths(config: RetentionConfig) -> list[int]:
    return [s.tokens for s in config.subjects if s.encoder.startswith("causal")]


def _reporter(config: RetentionConfig, on_progress: Progress | None) -> Callable[[str], None]:
    """Counts the steps of everything that is trained."""
    probes = 1 + len(config.subjects) + sum(subject.trap for subject in config.subjects)
    total = probes * config.probe.optimizer.steps
    total += config.causal.steps if _causal_lengths(config) else 0
    steps = count(1)

    def report(note: str) -> None:
        if on_progress is not None:
            on_progress(next(steps), total, note)

    return report
