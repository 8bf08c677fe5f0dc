"""NumPy computes with one thread inside, and with as many as before outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from agentmem import Memory
from agentmem.models.layers import blas
from agentmem.models.layers.blas import one_thread


def threads() -> set[int]:
    """The number of threads of the BLAS that lies beside NumPy, as in its wheels."""
    home = os.path.dirname(np.__file__)
    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    return {library.num_threads for library in blas if library.filepath.startswith(home)}


if not threads():
    pytest.skip("NumPy has no BLAS of its own", allow_module_level=True)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        yield


def test_it_is_restored_also_after_an_error() -> None:
    with one_thread():
        assert threads() == {1}
        with one_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}
    with pytest.raises(ValueError, match="no"), one_thread():
        raise ValueError("no")
    assert threads() == {2}


def test_any_thread_may_enter_and_the_last_to_leave_restores_it() -> None:
    inside, go_on, found = threading.Event(), threading.Event(), []

    def other() -> None:
        with one_thread():
            found.append(threads())
            inside.set()
            go_on.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    with one_thread():
        pass
    found.append(threads())
    go_on.set()
    thread.join(60)
    assert [*found, threads()] == [{1}, {1}, {2}]


def test_a_memory_leaves_it_as_it_was(memory: Memory) -> None:
    memory.add("Booked the 9:40 to Lyon")
    assert memory.recall("train to Lyon", rerank="latent")[0].text == "Booked the 9:40 to Lyon"
    assert threads() == {2}


def test_a_lock_that_an_interruption_has_left_is_replaced() -> None:
    """The handler of a signal may raise just before the lock is released."""
    blas._threads._lock.acquire()
    with one_thread():
        assert blas._threads._inside == 1
    assert blas._threads._inside == 0
    assert not blas._threads._lock.locked()
