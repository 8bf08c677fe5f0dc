"""What the decoder regenerates from codes, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.runtime import AutoencoderRuntime, Floats

# A prediction that wins by less than this (in nats) may flip under another batch shape, thread
# count, library or CPU; float32 differences are a thousand times smaller.
_MARGIN = 0.1
# Differences of logits that float32 knows no better than this, in nats (measured: 0.00012).
_CLOSE = 1e-3
# Tokens whose logits are computed together: those of more fit no cache.
_TOKENS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The likeliest tokens of B rows.

    Attributes:
        ids: int64 (B, T), zero behind the end of a row.
        is_sure: bool (B, T), where a token wins by the margin.
    """

    ids: NDArray[np.int64]
    is_sure: NDArray[np.bool_]


def likeliest(
    model: AutoencoderRuntime,
    codes: NDArray[np.int8],
    mask: NDArray[np.bool_],
    quantization: str,
) -> NDArray[np.int64]:
    """The likeliest ids (B, T) of codes (B, T, s) and mask (B, T), zero behind the end of a row."""
    states = model.decode(codes, mask, quantization)[mask]
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = np.concatenate([model.to_logits(part).argmax(-1) for part in _parts(states)])
    return ids


def predict(
    model: AutoencoderRuntime,
    codes: NDArray[np.int8],
    mask: NDArray[np.bool_],
    quantization: str,
) -> Predictions:
    """As `likeliest`, and whether each wins by the margin."""
    ids, leads = _best(model, codes, mask, quantization, double=False)
    # A lead of next to nothing decides the fidelity, and one of about the margin the patch.
    is_close = (leads < _CLOSE) | (np.abs(leads - _MARGIN) < _CLOSE)
    rows = np.flatnonzero((is_close & mask).any(axis=1))
    if len(rows):
        ids[rows], leads[rows] = _best(model, codes[rows], mask[rows], quantization, double=True)
    return Predictions(ids, leads > _MARGIN)


def _best(
    model: AutoencoderRuntime,
    codes: NDArray[np.int8],
    mask: NDArray[np.bool_],
    quantization: str,
    *,
    double: bool,
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """The likeliest ids (B, T), and by how much each beats the next, in nats (B, T)."""
    states = model.decode(codes, mask, quantization, double=double)[mask]
    ids, leads = np.zeros(mask.shape, dtype=np.int64), np.zeros(mask.shape, dtype=np.float64)
    best, lead = zip(*(_top(model.to_logits(part)) for part in _parts(states)), strict=True)
    ids[mask], leads[mask] = np.concatenate(best), np.concatenate(lead)
    return ids, leads


def _parts(states: Floats) -> list[Floats]:
    """States (N, H) in parts small enough for the head."""
    return [states[start : start + _TOKENS] for start in range(0, len(states), _TOKENS)]


def _top(logits: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The likeliest ids (N,) of logits (N, V), which are changed, and their leads (N,)."""
    rows = np.arange(len(logits))
    best = logits.argmax(-1)
    highest = logits[rows, best]
    logits[rows, best] = -np.inf
    return best, highest - logits.max(-1)
