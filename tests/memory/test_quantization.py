"""Quantization: fixed per store or chosen per chunk, and always with exact text."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from agentmem import Memory
from agentmem.errors import InputError
from agentmem.ingest.encode import Quantization
from agentmem.testing import tiny_model

TEXT = "The quick brown fox jumps over the lazy dog; she said that it leaves at 9:40. 日本 😀"


def stored(quantization: Quantization, **options: Any) -> tuple[str, int]:
    with Memory(":memory:", model=tiny_model(), quantization=quantization, **options) as memory:
        memory.add(TEXT)
        hit = memory.recall("fox")[0]
        assert memory.verify().ok
        return hit.text, hit.stored_bytes


@pytest.mark.parametrize("quantization", get_args(Quantization))
def test_the_text_is_exact_at_every_quantization(quantization: Quantization) -> None:
    assert stored(quantization)[0] == TEXT


def test_auto_is_coarse_where_that_is_good_enough() -> None:
    assert stored("auto") == stored("coarse")
    assert stored("auto")[1] < stored("fine")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "thin"}, "unknown quantization 'thin': one of 'auto', 'fine', 'coarse'"),
        ({"min_fidelity": 1.5}, "min_fidelity=1.5 must be between 0 and 1"),
        ({"min_fidelity": float("nan")}, "min_fidelity=nan"),
    ],
)
def test_unknown_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Memory(":memory:", model=tiny_model(), **options)
