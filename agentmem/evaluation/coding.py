"""Encodes and decodes chunks with one quantization, and computes the metrics of the result.

====  ==================
N     chunks measured
====  ==================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import Codec, Encoded, Latent

# Chunks encoded, and chunks decoded, in one call.
_ENCODED, _DECODED = 512, 384


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """The result for each chunk.

    Attributes:
        tokens: int64 (N,).
        fidelity: float64 (N,), share of tokens that the latents alone regenerate.
        latent_bytes: int64 (N,), packed.
        patch_bytes: int64 (N,).
        is_exact: bool (N,), whether the stored bytes decode to the chunk.
    """

    tokens: NDArray[np.int64]
    fidelity: NDArray[np.float64]
    latent_bytes: NDArray[np.int64]
    patch_bytes: NDArray[np.int64]
    is_exact: NDArray[np.bool_]

    def figures(self) -> dict[str, Any]:
        """The metrics, under their names in result files."""
        tokens = int(self.tokens.sum())
        latents, patches = int(self.latent_bytes.sum()), int(self.patch_bytes.sum())
        return {
            "token_accuracy": float(self.fidelity @ self.tokens) / tokens,
            "exact_chunks": exact_share(self.fidelity),
            "latent_bytes_per_token": latents / tokens,
            "patch_bytes_per_token": patches / tokens,
            "stored_bytes_per_token": (latents + patches) / tokens,
            "patch_share": patches / (latents + patches),
            "byte_exact": bool(self.is_exact.all()),
        }


def measure(
    ids: Sequence[Sequence[int]], texts: Sequence[str], codec: Codec, *, quantization: str
) -> Coding:
    """Encode chunks with a quantization, and decode what would be stored of them.

    They are decoded last to first and in other batches than `Codec.encode` verified them in, as in
    a recall, so that no batch is repeated.

    Args:
        ids: Token ids of each chunk.
        texts: Text of each chunk.
        codec: A model's codec.
        quantization: One of ``codec.quantizations``.
    """
    encoded = _encode(ids, codec, quantization)
    is_exact = np.empty(len(ids), dtype=np.bool_)
    indices = range(len(ids))[::-1]
    for start in range(0, len(ids), _DECODED):
        batch = indices[start : start + _DECODED]
        decoded = codec.regenerate(
            [Latent(encoded[at].packed, len(ids[at]), encoded[at].patch) for at in batch]
        )
        for at, tokens in zip(batch, decoded, strict=True):
            is_exact[at] = tokens == list(ids[at]) and codec.tokenizer.decode(tokens) == texts[at]
    return Coding(
        tokens=np.array([len(row) for row in ids]),
        fidelity=np.array([item.fidelity for item in encoded]),
        latent_bytes=np.array([len(item.packed) for item in encoded]),
        patch_bytes=np.array([len(item.patch) for item in encoded]),
        is_exact=is_exact,
    )


def fidelities(
    ids: Sequence[Sequence[int]], codec: Codec, *, quantization: str
) -> NDArray[np.float64]:
    """Only the fidelity (N,) of chunks with a quantization, in half the time of `measure`."""
    return np.array([item.fidelity for item in _encode(ids, codec, quantization)])


def automatic(codings: Mapping[str, Coding], min_fidelity: float) -> Coding:
    """The result of quantization "auto", from the results of every quantization.

    Args:
        codings: By quantization, finest first.
        min_fidelity: The fidelity that "auto" requires.
    """
    chosen = automatic_indices([coding.fidelity for coding in codings.values()], min_fidelity)
    picked = {
        field.name: np.choose(chosen, [getattr(coding, field.name) for coding in codings.values()])
        for field in fields(Coding)
    }
    return Coding(**picked)


def automatic_indices(
    fidelities: Sequence[NDArray[np.float64]], min_fidelity: float
) -> NDArray[np.intp]:
    """The quantization "auto" picks for each chunk: the coarsest good enough, or the finest.

    Args:
        fidelities: Fidelities (N,) of each quantization, finest first.
        min_fidelity: The fidelity that "auto" requires.

    Returns:
        Indices into ``fidelities``, (N,).
    """
    is_enough = np.stack(fidelities) >= min_fidelity  # (quantizations, N)
    is_enough[0] = True
    indices: NDArray[np.intp] = len(is_enough) - 1 - is_enough[::-1].argmax(axis=0)
    return indices


def exact_share(fidelity: NDArray[np.float64]) -> float:
    """Share of chunks (N,) that need no patch."""
    return float((fidelity == 1.0).mean())


def _encode(ids: Sequence[Sequence[int]], codec: Codec, quantization: str) -> list[Encoded]:
    return [
        item
        for start in range(0, len(ids), _ENCODED)
        for item in codec.encode(ids[start : start + _ENCODED], quantization=quantization)
    ]
