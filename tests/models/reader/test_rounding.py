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
        "a.down.text": lengths[:, None] * torch.randn(4, 24, generator=random),
        "a.up.text": torch.randn(40, 4, generator=random) * lengths,
        "marks.4": torch.randn(24, generator=random),
    }


@given(seed=st.integers(0, 2**32), size=st.floats(1e-6, 1e6))
def test_each_vector_is_within_half_a_step(seed: int, size: float) -> None:
    exact = update(seed, size)
    restored = restore_adapters(round_adapters(exact))
    assert restored.keys() == exact.keys()
    for name, axis in (("a.down.text", 1), ("a.up.text", 0)):
        step = exact[name].abs().amax(axis, keepdim=True) / 127
        # Half a step, and as much again where a scale was rounded down at the largest number.
        assert bool(((restored[name] - exact[name]).abs() <= 0.57 * step + 1e-12).all())
    assert torch.equal(restored["marks.4"], exact["marks.4"].to(torch.bfloat16))


@given(seed=st.integers(0, 2**32), size=st.floats(1e-6, 1e6))
def test_rounding_again_changes_nothing(seed: int, size: float) -> None:
    once = round_adapters(update(seed, size))
    again = round_adapters(restore_adapters(once))
    assert again.keys() == once.keys()
    assert all(torch.equal(again[name], weight) for name, weight in once.items())


def test_an_int8_number_takes_a_byte() -> None:
    rounded = round_adapters(update(0, 1.0))
    assert {str(w.dtype) for name, w in rounded.items() if name.startswith("a.")} == {
        "torch.int8",
        "torch.float32",
    }
    assert rounded["a.down.text"].dtype == torch.int8
    assert rounded["a.down.text.scale"].shape == (4, 1)
    assert rounded["a.up.text.scale"].shape == (1, 4)


def test_what_has_no_scale_stays() -> None:
    exact = {"a.up.text": torch.ones(2, 2, dtype=torch.bfloat16), "odd.scale": torch.ones(1)}
    assert restore_adapters(exact) == exact
