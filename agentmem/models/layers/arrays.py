"""The layers of the networks in NumPy: what `agentmem.models.layers.blocks` is in torch.

Everything computes in the type of its weights, float32 or float64, and in batches small enough for
a processor's cache, where NumPy's one operation after the other costs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.models.layers.configuration import BlockConfig
from agentmem.models.layers.weights import Shapes, Weights

Floats = NDArray[np.floating[Any]]

EPS = 1e-5
# erf by Abramowitz and Stegun, formula 7.1.26; the error is at most 1.5e-7.
_ERF_SCALE = 0.3275911
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class Block:
    """Pre-norm attention and feed-forward layer, each with a residual connection."""

    def __init__(self, weights: Weights, heads: int) -> None:
        """Take the weights of one block, named as in its torch twin."""
        self._heads = heads
        self._attention_norm = weights["attention_norm.weight"]
        self._qkv = weights["attention.qkv.weight"]
        self._out = weights["attention.out.weight"]
        self._mlp_norm = weights["mlp_norm.weight"]
        self._up = weights["up.weight"]
        self._down = weights["down.weight"]

    def __call__(
        self, x: Floats, rope: tuple[Floats, Floats], mask: NDArray[np.bool_] | None
    ) -> Floats:
        """States (B, T, H), cosines and sines (T, 1, H / heads / 2), mask (B, T) to (B, T, H)."""
        x = x + self._attend(rms_norm(x, self._attention_norm), rope, mask)
        x += linear(gelu_tanh(linear(rms_norm(x, self._mlp_norm), self._up)), self._down)
        return x

    def _attend(
        self, x: Floats, rope: tuple[Floats, Floats], mask: NDArray[np.bool_] | None
    ) -> Floats:
        b, t, h = x.shape
        width = h // self._heads
        qkv = linear(x, self._qkv).reshape(b, t, 3, self._heads, width)
        q, k, v = (qkv[:, :, part] for part in range(3))
        q, k = _rotated(q, rope), _rotated(k, rope)
        q *= x.dtype.type(1 / math.sqrt(width))
        scores = q.transpose(0, 2, 1, 3) @ k.transpose(0, 2, 3, 1)  # (B, heads, T, T)
        if mask is not None:
            np.copyto(scores, -np.inf, where=~mask[:, None, None, :])
        y = softmax(scores) @ v.transpose(0, 2, 1, 3)  # (B, heads, T, H / heads)
        return linear(y.transpose(0, 2, 1, 3).reshape(b, t, h), self._out)


def run_blocks(
    blocks: Sequence[Block], x: Floats, mask: NDArray[np.bool_], config: BlockConfig
) -> Floats:
    """States (B, T, H) and mask (B, T), True on tokens, to the states after all blocks."""
    width = config.hidden_size // config.num_attention_heads
    rope = rotary_angles(x.shape[1], width, config.rope_theta, x.dtype)
    visible = None if mask.all() else mask
    for block in blocks:
        x = block(x, rope, visible)
    return x


def block_shapes(prefix: str, config: BlockConfig) -> Shapes:
    """The shapes of a block's weights, whose names begin with a prefix."""
    h, wide = config.hidden_size, config.intermediate_size
    shapes = {
        "attention_norm.weight": (h,),
        "attention.qkv.weight": (3 * h, h),
        "attention.out.weight": (h, h),
        "mlp_norm.weight": (h,),
        "up.weight": (wide, h),
        "down.weight": (h, wide),
    }
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def rotary_angles(t: int, width: int, theta: float, dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    """Cosines and sines of T positions for heads of a width, each (T, 1, width / 2)."""
    # The angles are those of float32 in any case: the weights were trained with them.
    steps = (theta ** (-np.arange(0, width, 2) / width)).astype(np.float32)
    angles = (np.arange(t, dtype=np.float32)[:, None, None] * steps).astype(np.float64)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def linear(x: Floats, weight: Floats, bias: Floats | None = None) -> Floats:
    """Rows (..., I) times weights (O, I), plus bias (O,), to (..., O)."""
    # One product of two matrices, not one for each of a batch.
    y: Floats = x.reshape(-1, x.shape[-1]) @ weight.T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight))


def rms_norm(x: Floats, weight: Floats | None = None, eps: float = EPS) -> Floats:
    """Rows (..., H) divided by their root mean square, times weights (H,)."""
    squares = np.einsum("...h,...h->...", x, x) / x.dtype.type(x.shape[-1])
    y: Floats = x * (1 / np.sqrt(squares + x.dtype.type(eps)))[..., None]
    if weight is not None:
        y *= weight
    return y


def l2_norm(x: Floats) -> Floats:
    """Rows (..., H) divided by their length, which counts as 1e-12 at least."""
    lengths = np.sqrt(np.einsum("...h,...h->...", x, x))
    y: Floats = x / np.maximum(lengths, x.dtype.type(1e-12))[..., None]
    return y


def softmax(scores: Floats) -> Floats:
    """Softmax over the last axis, in place; no row may be all minus infinity."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def gelu_tanh(x: Floats) -> Floats:
    """GELU by its approximation with a hyperbolic tangent."""
    scale = math.sqrt(2 / math.pi)
    y = x * x
    y *= x.dtype.type(0.044715 * scale)
    y += x.dtype.type(scale)
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= x.dtype.type(0.5)
    return y


def gelu(x: Floats) -> Floats:
    """GELU as it is defined, by the error function."""
    z = np.abs(x)
    z *= x.dtype.type(math.sqrt(0.5))
    t = 1 / (1 + x.dtype.type(_ERF_SCALE) * z)
    y = np.zeros_like(x)
    for factor in _ERF:
        y += x.dtype.type(factor)
        y *= t
    z *= z
    y *= np.exp(-z)  # 1 - erf(|x| / sqrt 2)
    y *= x.dtype.type(0.5)
    # The normal distribution function is this to the left of zero, and one less this to the right.
    np.subtract(1, y, out=y, where=x > 0)
    y *= x
    return y


def softplus(x: Floats) -> Floats:
    """The logarithm of 1 + e^x."""
    return np.logaddexp(x, x.dtype.type(0))


def _rotated(x: Floats, rope: tuple[Floats, Floats]) -> Floats:
    """States (B, T, heads, width) turned by their positions, a copy."""
    cos, sin = rope
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    y = np.empty(x.shape, dtype=x.dtype)
    np.multiply(a, cos, out=y[..., :half])
    y[..., :half] -= b * sin
    np.multiply(b, cos, out=y[..., half:])
    y[..., half:] += a * sin
    return y
