"""Work in forks of this process, which have everything that it has loaded."""

from __future__ import annotations

import gc
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_forks(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do all at once, each in a process of its own; what they return, in order.

    Raises:
        ChildProcessError: one has raised an exception, which it has printed.
    """
    children = [_fork(work) for work in works]
    results: list[T] = []
    for child, pipe in children:
        with os.fdopen(pipe, "rb") as answer:
            content = answer.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise ChildProcessError("a process has failed; its exception is above")
        results.append(pickle.loads(content))
    return results


def _fork(work: Callable[[], T]) -> tuple[int, int]:
    ear, mouth = os.pipe()
    # What is loaded by now stays. The garbage collector would go through all of it again and again,
    # in every process that these fork, and each would have its own copy of it in memory.
    gc.freeze()
    if child := os.fork():
        os.close(mouth)
        return child, ear
    status = 1
    try:
        with os.fdopen(mouth, "wb") as answer:
            answer.write(pickle.dumps(work()))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
