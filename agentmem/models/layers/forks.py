"""Torch in a forked child: one thread, because the parent's others do not exist there."""

from __future__ import annotations

import os
from functools import cache

import torch


@cache
def one_thread_in_children() -> None:
    """Let torch compute with one thread in every child that this process forks from now on.

    OpenMP keeps its threads between computations. A forked child has none of them, but still their
    records, so that its first computation would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
