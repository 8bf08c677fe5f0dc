"""An exception raised from outside inside a write left the write lock held.

Ctrl-C, the time limit of a task queue, an alarm, or an exception thrown into a thread: until the
next garbage collection nobody could write to the store, or what was being written was half there.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import shield
from agentmem_storage.methods.reading import Reading
from agentmem_storage.store import Store

POINTS = 12  # of each call, spread over all its lines


class HandlerError(BaseException):
    """What a handler raises; not an `Exception`, as `KeyboardInterrupt` is not."""


class Interrupter:
    """Raises at one of the lines of agentmem, or of what it calls, as a signal handler would."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.lines = 0

    def run_in_thread(self, call: Callable[[Memory], None], memory: Memory) -> HandlerError | None:
        """As `run`, in a thread that is not the main one."""
        done: list[HandlerError | None] = []
        thread = threading.Thread(target=lambda: done.append(self.run(call, memory)))
        thread.start()
        thread.join()
        return done[0]

    def run(self, call: Callable[[Memory], None], memory: Memory) -> HandlerError | None:
        """The exception, with its traceback, so that nothing is collected; None if it came late."""
        before = sys.gettrace()
        try:
            sys.settrace(self._call)
            call(memory)
        except HandlerError as error:
            return error
        finally:
            sys.settrace(before)
        return None

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        watched = any(part in name for part in ("agentmem", "sqlalchemy", "contextlib"))
        return self._line if watched and "test" not in Path(name).name else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise HandlerError
        return self._line


def alone(test: Callable[..., None]) -> Callable[..., None]:
    """A test in a thread of its own, which takes along what exceptions leave behind.

    Torch's contexts belong to a thread. One that an exception leaves open would change later tests,
    and so would one that is closed late, by a collection in the middle of them.
    """

    @wraps(test)
    def call(**given: Any) -> None:
        gc.freeze()  # so that only what the test leaves is collected
        try:
            test(**given)
        finally:
            gc.collect()

    @wraps(test)
    def call_in_thread(**given: Any) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(call, **given).result()

    return call_in_thread


def add(memory: Memory) -> None:
    memory.add(["one more", "and another"], user_id="ana")


def forget(memory: Memory) -> None:
    memory.forget([1])


def update(memory: Memory) -> None:
    memory.update(2, text="changed")


def recall(memory: Memory) -> None:
    memory.recall("old", k=3)


def verify(memory: Memory) -> None:
    assert memory.verify().ok


CALLS = [add, forget, update, recall, verify]


def texts(memory: Memory) -> list[str]:
    return [chunk.text for chunk in memory.list()]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        *((call, "folder") for call in CALLS),
        *((call, "memory") for call in (add, recall)),
        *((call, "thread") for call in (add, forget, recall)),
    ],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
@alone
def test_nothing_is_held_or_half_there(
    tmp_path: Path, model: ModelBundle, call: Callable[[Memory], None], kind: str
) -> None:
    run = Interrupter.run
    if kind == "thread":
        kind, run = "folder", Interrupter.run_in_thread

    def filled(name: str) -> Memory:
        place = ":memory:" if kind == "memory" else tmp_path / name
        memory = Memory(place, model=model, timeout_s=0.5)
        memory.add([f"old {n}" for n in range(4)])
        return memory

    # What the first call imports, no later one does again.
    with filled("warm") as memory:
        run(Interrupter(), call, memory)
    with filled("counted") as memory:
        before = texts(memory)
        counter = Interrupter()
        run(counter, call, memory)
        after = texts(memory)
    step = max(1, counter.lines // POINTS)
    memory = filled("interrupted")
    errors = []
    for at in range(1, counter.lines + 1, step):
        errors.append(run(Interrupter(at), call, memory))
        if kind == "folder":
            with closing(sqlite3.connect(tmp_path / "interrupted" / "memory.db")) as other:
                other.execute("PRAGMA busy_timeout = 0")
                other.execute("BEGIN IMMEDIATE")
                other.rollback()
        found = texts(memory)
        assert found in (before, after)
        if found != before:
            memory.close()
            memory = filled(f"interrupted {at}") if kind == "memory" else memory
        if found != before and kind == "folder":
            for file in sorted((tmp_path / "interrupted").rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            memory = filled("interrupted")
    assert len([error for error in errors if error is not None]) >= POINTS // 2
    assert memory.verify().ok
    memory.add("life goes on")
    memory.close()


def test_a_real_signal(place: Path, model: ModelBundle) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise HandlerError

    before = signal.signal(signal.SIGUSR1, handler)
    memory = Memory(place, model=model, timeout_s=600)
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with memory._store._database.write():
            holding.set()
            go_on.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(60)
    # It is sent while `add` waits for the lock that the other thread has.
    sender = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    sender.start()
    try:
        with pytest.raises(HandlerError):
            memory.add("interrupted")
    finally:
        signal.signal(signal.SIGUSR1, before)
        go_on.set()
        holder.join()
    assert texts(memory) == []
    memory.add("life goes on")
    memory.close()


def test_an_exception_thrown_into_a_thread(place: Path, model: ModelBundle) -> None:
    memory = Memory(place, model=model, timeout_s=600)
    holding, go_on, begun = threading.Event(), threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def hold() -> None:
        with memory._store._database.write():
            holding.set()
            go_on.wait(60)

    def work() -> None:
        try:
            begun.set()
            memory.add("interrupted")
        except BaseException as error:
            raised.append(error)

    holder, worker = threading.Thread(target=hold), threading.Thread(target=work)
    holder.start()
    holding.wait(60)
    worker.start()
    begun.wait(60)
    # It waits for the lock that the other thread has, and is told not to.
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert throw(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(HandlerError)) == 1
    worker.join(60)
    assert not worker.is_alive()
    assert [type(error) for error in raised] == [HandlerError]
    go_on.set()
    holder.join()
    assert texts(memory) == []
    memory.add("life goes on")
    with closing(sqlite3.connect(place / "memory.db")) as other:
        other.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        other.rollback()
    memory.close()


def test_threads_do_not_wait_for_each_other(memory: Memory) -> None:
    """Each call has a worker of its own, and workers are used again."""
    meet = threading.Barrier(4, timeout=60)
    meeting = shield.shielded(meet.wait)
    for _ in range(3):
        threads = [threading.Thread(target=meeting) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not meet.broken
    before = len(shield._Worker.idle)
    for _ in range(5):
        memory.stats()
    assert len(shield._Worker.idle) == before


def test_what_is_not_committed_when_nobody_waits_any_more_is_rolled_back(memory: Memory) -> None:
    database = memory._store._database
    begun, go_on = threading.Event(), threading.Event()

    @shield.shielded
    def work() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE meta SET terms_stale = 1")
            begun.set()
            go_on.wait(60)

    def handler(number: int, frame: FrameType | None) -> None:
        # The wait goes on in `shield` after this handler has raised.
        threading.Timer(0.1, go_on.set).start()
        raise HandlerError

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(
        target=lambda: begun.wait(60) and os.kill(os.getpid(), signal.SIGUSR1)
    )
    sender.start()
    try:
        with pytest.raises(HandlerError):
            work()
    finally:
        signal.signal(signal.SIGUSR1, before)
        sender.join()
    assert not memory._store.terms_stale
    memory.add("life goes on")


def test_every_verb_of_a_store_is_shielded() -> None:
    verbs = {
        name: verb
        for group in Store.__mro__
        if group is not Reading and group.__module__.startswith("agentmem_storage.")
        for name, verb in vars(group).items()
        if not name.startswith("_") and not isinstance(verb, staticmethod)
    }
    assert {"open", "close", "add", "forget", "iterate", "check", "switch"} <= verbs.keys()
    for name, verb in verbs.items():
        function = verb.fget if isinstance(verb, property) else getattr(verb, "__func__", verb)
        assert hasattr(function, "__wrapped__"), name
    for name, verb in vars(Reading).items():
        if not name.startswith("_") and name != "snapshot":
            # It does nothing but to read a snapshot, which is shielded.
            assert verb.__code__.co_names == ("snapshot",), name
