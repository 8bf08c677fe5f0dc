"""Builds the codebooks that pack latents, from symbol statistics of the training data.

The code of a symbol depends on the previous symbol, through a few hundred contexts: symbols with
similar successors share one (k-means on the square roots of successor frequencies). Bigram counts
come from all token ids; how a token's symbol varies with its context comes from a sample encoded by
the frozen encoder.
"""

from __future__ import annotations

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.huffman import huffman_lengths
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import Codebook, Packer
from agentmem.models.layers.inference import full_precision
from agentmem.training.data.packed import Windows

# Size limit of a quantization's codebook in the bundle, in bytes.
_TABLE_BYTES = 2_300_000
_CONTEXTS = 256
_SAMPLE_BATCHES = 60
# Smoothing: pseudo-counts that a context takes from the overall distribution.
_SMOOTHING = 30.0
# Least probability: every symbol has a code, no longer than the packer can read.
_MIN_PROBABILITY = 2.0**-21


def make_codebooks(model: MemoryAutoencoder, data: Windows, seed: int) -> dict[str, Codebook]:
    """The codebook of each quantization of a trained model.

    Args:
        model: Frozen, float32, on the CPU.
        data: Its training data.
        seed: Seed of the clustering.
    """
    bigrams = _bigrams(data, model.config.vocab_size)
    books = {}
    for quantization, symbols in _sampled(model, data).items():
        packer = Packer(model.config, quantization)
        if len(symbols[0]) != len(symbols[1]):
            continue  # several symbols per token: token bigrams do not determine symbol bigrams
        rows = max(2, min(_CONTEXTS, _TABLE_BYTES // packer.symbols))
        books[quantization] = _codebook(bigrams, *symbols, packer.symbols, rows, seed)
    return books


def _bigrams(data: Windows, vocab_size: int) -> NDArray[np.float32]:
    """Bigram counts of tokens (V, V), with files weighted as in training."""
    total = sum(len(file.ids) for file in data.files)
    counts = np.zeros((vocab_size, vocab_size), dtype=np.float32)
    for file, weight in zip(data.files, data.weights, strict=True):
        ids = np.asarray(file.ids, dtype=np.int64)
        pairs = np.bincount(ids[:-1] * vocab_size + ids[1:], minlength=vocab_size**2)
        scale = weight * total / len(ids)
        counts += (pairs * scale).astype(np.float32).reshape(vocab_size, vocab_size)
    return counts


@full_precision()
def _sampled(
    model: MemoryAutoencoder, data: Windows
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Token ids of a sample and their symbols, by quantization."""
    found: dict[str, tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]] = {
        name: ([], []) for name in model.config.quantizations
    }
    packers = {name: Packer(model.config, name) for name in found}
    for index in range(_SAMPLE_BATCHES):
        ids, mask = data.batch(index)
        shown = torch.from_numpy(mask)
        states = model.encode_states(torch.from_numpy(ids), shown)
        for name, (tokens, symbols) in found.items():
            codes = model.quantize(model.to_codes(states, name), name)[shown]
            tokens.append(ids[mask])
            symbols.append(packers[name].symbols_of(codes.to(torch.int8).numpy()))
    return {
        name: (np.concatenate(tokens), np.concatenate(symbols))
        for name, (tokens, symbols) in found.items()
    }


def _codebook(
    bigrams: NDArray[np.float32],
    tokens: NDArray[np.int64],
    symbols: NDArray[np.int64],
    alphabet: int,
    rows: int,
    seed: int,
) -> Codebook:
    vocab_size = len(bigrams)
    classes = _classes(bigrams, rows - 1, seed)  # (V,)
    by_class = np.zeros((rows, vocab_size))
    np.add.at(by_class, classes, bigrams)
    by_class[-1] = bigrams.sum(0)  # at the start of a chunk

    # Distribution of symbols for each token; a token missing from the sample contributes nothing.
    pairs, seen = np.unique(tokens * alphabet + symbols, return_counts=True)
    token, symbol = pairs // alphabet, pairs % alphabet
    share = seen / np.bincount(tokens, minlength=vocab_size)[token]
    counts = np.zeros((rows, alphabet))
    for row in range(rows):
        counts[row] = np.bincount(symbol, share * by_class[row, token], minlength=alphabet)
    overall = counts[-1] / counts[-1].sum()

    # A symbol takes the context of the token it most often represents.
    contexts = np.zeros(alphabet, dtype=np.int64)
    order = np.argsort(seen, kind="stable")
    contexts[symbol[order]] = classes[token[order]]
    lengths = np.stack([_row(row, overall) for row in counts])
    return Codebook(contexts, lengths)


def _classes(bigrams: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Clusters of tokens (V,) with similar successors."""
    seen = bigrams.sum(1)
    profiles = np.sqrt(bigrams / np.maximum(seen, 1)[:, None])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, scale, _ = torch.svd_lowrank(torch.from_numpy(profiles), q=64)
    points = (left * scale).numpy().astype(np.float32)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # deterministic order of summation
    try:
        kmeans = faiss.Kmeans(
            points.shape[1],
            min(count, len(points)),
            niter=20,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=len(points),
        )
        kmeans.train(points, weights=np.sqrt(seen + 1).astype(np.float32))
        _, nearest = kmeans.index.search(points, 1)
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(nearest[:, 0], dtype=np.int64)


def _row(counts: NDArray[np.float64], overall: NDArray[np.float64]) -> NDArray[np.uint8]:
    shares = (counts + _SMOOTHING * overall) / (counts.sum() + _SMOOTHING)
    return huffman_lengths(np.maximum(shares, _MIN_PROBABILITY))
