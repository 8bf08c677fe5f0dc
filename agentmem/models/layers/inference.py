"""How the frozen networks compute: in float32, whatever the caller has set for its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in float32, even inside the caller's own mixed-precision context."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield
