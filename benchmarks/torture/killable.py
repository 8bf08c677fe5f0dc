"""A process that is killed while it works, and what it has said before."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator

from benchmarks.torture.book import Book, Op

# What is said of a call: "begun", or "done" and the ids that it returned.
Said = tuple[str, list[int]]
Say = Callable[[str, list[int]], None]
_MORE = 65536


def live(
    work: Callable[[Say], None],
    *,
    calls: int,
    delay_s: float | None = None,
    from_birth: bool = False,
    kill: Callable[[int], object] = lambda child: os.kill(child, signal.SIGKILL),
) -> tuple[list[Said], float | None]:
    """Have a process work until it dies, or until it is killed.

    What it has written to a pipe arrives, whatever happens to it afterwards.

    Args:
        work: What it does in a fork of this process, for ever.
        calls: How many calls it plans to make, before those without end.
        delay_s: When it is killed, in seconds after the last of these has begun; None: it kills
            itself.
        from_birth: Whether the time counts from its beginning instead.
        kill: Kills it, given its number, or what it cannot live without.

    Returns:
        What it has said, and how many seconds its last planned call has taken, if it returned.
    """
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda what, ids: _say(mouth, what, ids))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(mouth)
    heard, length = b"", None
    started = time.perf_counter() if from_birth else None
    while True:
        left = None
        if delay_s is not None and started is not None:
            left = max(0.0, started + delay_s - time.perf_counter())
        if not select.select([ear], [], [], left)[0]:
            kill(child)
            delay_s = None
            continue
        if not (more := os.read(ear, _MORE)):
            break
        heard += more
        if started is None and heard.count(b"begun") >= calls:
            started = time.perf_counter()
        if length is None and started is not None and heard.count(b"done") >= calls:
            length = time.perf_counter() - started
    os.close(ear)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise ChildProcessError(f"a process that was to die has failed after {heard[-200:]!r}")
    lines = [one for one in heard.splitlines(keepends=True) if one.endswith(b"\n")]
    return [(what, ids) for what, ids in map(json.loads, lines)], length


def record(book: Book, ops: Iterator[Op], said: Iterable[Said]) -> tuple[Op | None, list[Op]]:
    """Note in a book what a process has said of its calls.

    Returns:
        The call that had begun and not returned, and those that had.
    """
    begun: Op | None = None
    finished = []
    for what, ids in said:
        if what == "begun":
            begun = next(ops)
        elif begun is not None:
            book.done(begun, ids)
            finished.append(begun)
            begun = None
    return begun, finished


def _say(mouth: int, what: str, ids: list[int]) -> None:
    os.write(mouth, json.dumps([what, ids]).encode() + b"\n")
