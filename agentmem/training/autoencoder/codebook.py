"""Codes for packing latents: which symbols follow which, counted once on the training data.

The code of a symbol depends on the one before it, through a few hundred contexts: symbols that
are followed by the same things share one (k-means on the square roots of their successors'
shares). Counts come from all packed token ids; how a token's symbol varies with its neighbours
comes from a sample that the frozen encoder has seen.
"""

from __future__ import annotations

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.codec import full_precision
from agentmem.models.autoencoder.huffman import huffman_lengths
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import Codebook, Packer
from agentmem.training.data.packed import Windows

# Codes of all contexts together: what a density's table may weigh in the bundle, in bytes.
_TABLE_BYTES = 2_300_000
_CONTEXTS = 256
_SAMPLE_BATCHES = 60
# Counts that a context borrows from all contexts: rare ones have seen little.
_BORROWED = 30.0
# Every symbol can be written, and none needs more bits than the packer reads at once.
_RAREST = 2.0**-21


def make_codebooks(model: MemoryAutoencoder, data: Windows, seed: int) -> dict[str, Codebook]:
    """The codebook of each density of a trained model.

    Args:
        model: Frozen, float32, on the CPU.
        data: What it was trained on.
        seed: Of the clustering.
    """
    follow = _follow(data, model.config.vocab_size)
    books = {}
    for density, symbols in _sampled(model, data).items():
        packer = Packer(model.config, density)
        if len(symbols[0]) != len(symbols[1]):
            continue  # several symbols for each token: ids cannot say which follow which
        rows = max(2, min(_CONTEXTS, _TABLE_BYTES // packer.symbols))
        books[density] = _codebook(follow, *symbols, packer.symbols, rows, seed)
    return books


def _follow(data: Windows, vocab_size: int) -> NDArray[np.float32]:
    """How often one token follows another, (V, V): counts, files weighted by their shares."""
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
    """Token ids of a sample and the symbols that they get, by density."""
    found: dict[str, tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]] = {
        name: ([], []) for name in model.config.densities
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
    follow: NDArray[np.float32],
    tokens: NDArray[np.int64],
    symbols: NDArray[np.int64],
    alphabet: int,
    rows: int,
    seed: int,
) -> Codebook:
    vocab_size = len(follow)
    classes = _classes(follow, rows - 1, seed)  # (V,)
    by_class = np.zeros((rows, vocab_size))
    np.add.at(by_class, classes, follow)
    by_class[-1] = follow.sum(0)  # behind nothing, anything

    # Each token's symbols, as shares; a token that the sample lacks adds nothing here.
    pairs, seen = np.unique(tokens * alphabet + symbols, return_counts=True)
    token, symbol = pairs // alphabet, pairs % alphabet
    share = seen / np.bincount(tokens, minlength=vocab_size)[token]
    counts = np.zeros((rows, alphabet))
    for row in range(rows):
        counts[row] = np.bincount(symbol, share * by_class[row, token], minlength=alphabet)
    overall = counts[-1] / counts[-1].sum()

    # A symbol makes the context of the token that it most often stands for.
    contexts = np.zeros(alphabet, dtype=np.int64)
    order = np.argsort(seen, kind="stable")
    contexts[symbol[order]] = classes[token[order]]
    lengths = np.stack([_row(row, overall) for row in counts])
    return Codebook(contexts, lengths)


def _classes(follow: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Tokens (V,) in groups that are followed by the same things."""
    seen = follow.sum(1)
    profiles = np.sqrt(follow / np.maximum(seen, 1)[:, None])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, scale, _ = torch.svd_lowrank(torch.from_numpy(profiles), q=64)
    points = (left * scale).numpy().astype(np.float32)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # sums in one order
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
    shares = (counts + _BORROWED * overall) / (counts.sum() + _BORROWED)
    return huffman_lengths(np.maximum(shares, _RAREST))
