"""Chunks through a model at one density, and what came of each; figures from that.

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

from agentmem.models.base import Encoded, Latent, MemoryModel

# Chunks are encoded so many at a time, and decoded in other groups.
_ENCODED, _DECODED = 512, 384


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """One entry for each chunk.

    Attributes:
        tokens: int64 (N,).
        fidelity: float64 (N,), share of tokens that the latents alone regenerate.
        latent_bytes: int64 (N,), packed.
        patch_bytes: int64 (N,).
        same: bool (N,), whether the stored bytes gave back the chunk.
    """

    tokens: NDArray[np.int64]
    fidelity: NDArray[np.float64]
    latent_bytes: NDArray[np.int64]
    patch_bytes: NDArray[np.int64]
    same: NDArray[np.bool_]

    def figures(self) -> dict[str, Any]:
        """The sums, by the names that result files have."""
        tokens = int(self.tokens.sum())
        latents, patches = int(self.latent_bytes.sum()), int(self.patch_bytes.sum())
        return {
            "token_accuracy": float(self.fidelity @ self.tokens) / tokens,
            "exact_chunks": exact_share(self.fidelity),
            "latent_bytes_per_token": latents / tokens,
            "patch_bytes_per_token": patches / tokens,
            "stored_bytes_per_token": (latents + patches) / tokens,
            "patch_share": patches / (latents + patches),
            "byte_exact": bool(self.same.all()),
        }


def measure(
    ids: Sequence[Sequence[int]], texts: Sequence[str], model: MemoryModel, *, density: str
) -> Coding:
    """Encode chunks at a density, and decode what would be stored of them.

    They are decoded last to first and in other groups than `encode` verified them in, so that no
    batch is the same: as a recall would.

    Args:
        ids: Token ids of each chunk.
        texts: Text of each chunk.
        model: A model bundle.
        density: One of ``model.densities``.
    """
    encoded = _encode(ids, model, density)
    same = np.empty(len(ids), dtype=np.bool_)
    places = range(len(ids))[::-1]
    for start in range(0, len(ids), _DECODED):
        group = places[start : start + _DECODED]
        found = model.regenerate(
            [
                Latent(encoded[place].packed, len(ids[place]), encoded[place].patch)
                for place in group
            ]
        )
        for place, back in zip(group, found, strict=True):
            same[place] = back == list(ids[place]) and model.tokenizer.decode(back) == texts[place]
    return Coding(
        tokens=np.array([len(row) for row in ids]),
        fidelity=np.array([item.fidelity for item in encoded]),
        latent_bytes=np.array([len(item.packed) for item in encoded]),
        patch_bytes=np.array([len(item.patch) for item in encoded]),
        same=same,
    )


def fidelities(
    ids: Sequence[Sequence[int]], model: MemoryModel, *, density: str
) -> NDArray[np.float64]:
    """Only the fidelity (N,) of chunks at a density: half the work of `measure`."""
    return np.array([item.fidelity for item in _encode(ids, model, density)])


def automatic(codings: Mapping[str, Coding], min_fidelity: float) -> Coding:
    """What density "auto" makes of chunks that were measured at every density.

    Args:
        codings: By density, the finest first.
        min_fidelity: What the model asks of a density.
    """
    places = automatic_places([coding.fidelity for coding in codings.values()], min_fidelity)
    picked = {
        field.name: np.choose(places, [getattr(coding, field.name) for coding in codings.values()])
        for field in fields(Coding)
    }
    return Coding(**picked)


def automatic_places(
    by_density: Sequence[NDArray[np.float64]], min_fidelity: float
) -> NDArray[np.intp]:
    """Which density "auto" takes for each chunk: the coarsest that is good enough, or the finest.

    Args:
        by_density: Fidelities (N,), those of the finest density first.
        min_fidelity: What the model asks of a density.

    Returns:
        Places in ``by_density``, (N,).
    """
    enough = np.stack(by_density) >= min_fidelity  # (densities, N)
    enough[0] = True
    places: NDArray[np.intp] = len(enough) - 1 - enough[::-1].argmax(axis=0)
    return places


def exact_share(fidelity: NDArray[np.float64]) -> float:
    """Share of chunks (N,) that need no correction."""
    return float((fidelity == 1.0).mean())


def _encode(ids: Sequence[Sequence[int]], model: MemoryModel, density: str) -> list[Encoded]:
    return [
        item
        for start in range(0, len(ids), _ENCODED)
        for item in model.encode(ids[start : start + _ENCODED], density=density)
    ]
