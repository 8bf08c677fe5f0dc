"""Threads for long lists: each works on chunks of its own, so that none waits for another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentmem.errors import InputError
from agentmem_storage.numbers import as_int

VARIABLE = "AGENTMEM_THREADS"
# More threads than this gain little: what is not arithmetic is Python, which runs one at a time.
_MOST = 4

T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int | None = None) -> int:
    """How many threads encode long lists.

    Args:
        threads: The number; None means that of the environment variable ``AGENTMEM_THREADS``, or
            one for each core that this process may use, but not more than four.

    Raises:
        InputError: the number, or the variable, is not a whole number of 1 or more.
    """
    if threads is None and (text := os.environ.get(VARIABLE, "").strip()):
        if not (text.isascii() and text.isdigit() and int(text)):
            raise InputError(
                f"the environment variable {VARIABLE} is {text!r:.100}: set it to a whole number "
                f"of 1 or more, or unset it"
            )
        return int(text)
    if threads is None:
        return min(_MOST, _cores())
    threads = as_int(threads, "threads")
    if threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads!r}")
    return threads


def map_in_threads(work: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Results of ``work``, in the order of the items; a single item needs no thread of its own.

    An error ends it as soon as the items that are being worked on are done; others are not begun.
    """
    if threads == 1 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="agentmem-encode")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
