"""Densities: chosen for a store or chunk by chunk, and never at the cost of the text."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import InputError
from agentmem.testing import tiny_model

TEXT = "The quick brown fox jumps over the lazy dog; she said that it leaves at 9:40. 日本 😀"


def stored(density: str, **options: Any) -> tuple[str, bytes]:
    with Memory(":memory:", model=tiny_model(), density=density, **options) as memory:
        memory.add(TEXT)
        hit = memory.recall("fox")[0]
        assert memory.verify().ok
        return hit.text, hit.record.latents


@pytest.mark.parametrize("density", ["auto", "standard", "dense"])
def test_the_text_is_exact_at_every_density(density: str) -> None:
    assert stored(density)[0] == TEXT


def test_auto_is_dense_where_that_is_good_enough() -> None:
    assert stored("auto") == stored("dense")
    assert stored("auto")[1] != stored("standard")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": "thin"}, "density='thin' is unknown: bundle 'tiny-0' has auto, standard, d"),
        ({"min_fidelity": 1.5}, "min_fidelity=1.5 must be a share from 0 to 1"),
        ({"min_fidelity": float("nan")}, "min_fidelity=nan"),
    ],
)
def test_unknown_wishes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Memory(":memory:", model=tiny_model(), **options)
