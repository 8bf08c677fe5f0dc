"""Torch in a forked child: one thread, because the parent's others do not exist there."""

from __future__ import annotations

import os
import sys
from functools import cache


@cache
def one_thread_in_children() -> None:
    """Let torch compute with one thread in every child that this process forks from now on.

    OpenMP keeps its threads between computations. A forked child has none of them, but still their
    records, so that its first computation would wait for them for ever. Torch need not be imported
    yet; whether the program around it has done so is seen at the fork.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    set_threads = getattr(sys.modules.get("torch"), "set_num_threads", None)
    if set_threads is not None:
        set_threads(1)
