"""Adapters in int8: how close they stay, and what rounding them again does."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agentmem.models.reader.rounding import restore_adapters, round_adapters


def update(seed: int, size: float) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    # Components of very different length, as training leaves them, and one that is zero.
    lengths = size * torch.tensor([1.0, 1e-3, 30.0, 0.0])
    return {
        "a.down": lengths[:, None] * torch.randn(4, 24, generator=random),
        "a.up": torch.randn(40, 4, generator=random) * lengths,
    }


@given(seed=st.integers(0, 2**32), size=st.floats(1e-6, 1e6))
def test_each_vector_is_within_half_a_step(seed: int, size: float) -> None:
    exact = update(seed, size)
    restored = restore_adapters(round_adapters(exact))
    assert restored.keys() == exact.keys()
    for name, axis in (("a.down", 1), ("a.up", 0)):
        step = exact[name].abs().amax(axis, keepdim=True) / 127
        # Half a step, and as much again where a scale was rounded down at the largest number.
        assert bool(((restored[name] - exact[name]).abs() <= 0.57 * step + 1e-12).all())


@given(seed=st.integers(0, 2**32), size=st.floats(1e-6, 1e6))
def test_rounding_again_changes_nothing(seed: int, size: float) -> None:
    once = round_adapters(update(seed, size))
    again = round_adapters(restore_adapters(once))
    assert again.keys() == once.keys()
    assert all(torch.equal(again[name], weight) for name, weight in once.items())


def test_an_int8_number_takes_a_byte() -> None:
    rounded = round_adapters(update(0, 1.0))
    assert {str(w.dtype) for w in rounded.values()} == {
        "torch.int8",
        "torch.float32",
    }
    assert rounded["a.down"].dtype == torch.int8
    assert rounded["a.down.scale"].shape == (4, 1)
    assert rounded["a.up.scale"].shape == (1, 4)
