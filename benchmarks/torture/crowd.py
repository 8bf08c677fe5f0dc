"""Many users at once: threads of several processes call one store, and check its answers."""

from __future__ import annotations

import math
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.query import Mode
from benchmarks.torture.book import Book, Memo, Op, Tally
from benchmarks.torture.look import held, search_files
from benchmarks.torture.parallel import in_forks
from benchmarks.torture.work import ENCRYPTED, call, draw_key, memo, opened

PROCESSES = 2
THREADS = 4
# A store is new after so many calls, so that rewriting it stays cheap.
_SHIFT = 2500
# How often which call is made.
_CALLS: Mapping[str, float] = {
    "get": 0.64,
    "count": 0.194,
    "add": 0.06,
    "again": 0.03,
    "list": 0.02,
    "recall": 0.04,
    "update": 0.01,
    "forget": 0.006,
}


def crowd(
    count: int,
    *,
    models: Mapping[str, ModelBundle],
    seed: int,
    scratch: Path,
    on_progress: Callable[[int, int], object],
    until: float = math.inf,
    encrypted: float = ENCRYPTED,
) -> Tally:
    """Make calls from all threads, and compare each store with what was acknowledged at the end.

    The arguments are those of `benchmarks.torture.kills.kill_processes`; ``count`` is rounded up to
    so many for each thread.
    """
    tally = Tally()
    model = models[min(models)]
    chance = random.Random(f"crowd {seed}")
    done = 0
    while done < count and time.monotonic() <= until:
        place = scratch / f"crowd-{done}"
        key = draw_key(chance, encrypted)
        opened(place, model, key, create=True).close()
        each = -(-min(_SHIFT, count - done) // (PROCESSES * THREADS))
        names = [f"crowd {seed} {done} {number}" for number in range(PROCESSES)]
        works = [partial(_process, place, model, key, each, name) for name in names]
        book = Book()
        for one, seen in chain.from_iterable(in_forks(works)):
            book.there |= one.there
            book.gone += one.gone
            tally.add(seen)
        with opened(place, model, key) as memory:
            book.compare(held(memory, tally), None, tally)
            if not (verified := memory.verify()).ok:
                tally.damaged += 1
                tally.note(f"{verified.damage}")
        search_files([place], book, tally, encrypted=key is not None)
        shutil.rmtree(place)
        done += each * PROCESSES * THREADS
        tally.rounds = done
        tally.encrypted += each * PROCESSES * THREADS * (key is not None)
        on_progress(min(done, count), count)
    return tally


def _process(
    place: Path, model: ModelBundle, key: bytes | None, calls: int, name: str
) -> list[tuple[Book, Tally]]:
    """What one process does: what its threads have noted."""
    with opened(place, model, key) as memory:
        users = [_User(memory, f"{name} {number}") for number in range(THREADS)]
        threads = [threading.Thread(target=user.work, args=(calls,)) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [(user.book, user.tally) for user in users]


class _User:
    """A thread with memories of its own, of which it knows what they must be."""

    def __init__(self, memory: Memory, name: str) -> None:
        self._memory = memory
        self._name = name.replace(" ", "-")
        self._chance = random.Random(name)
        self.book, self.tally = Book(), Tally()

    def work(self, calls: int) -> None:
        """Make calls, one after the other."""
        for _ in range(calls):
            (name,) = self._chance.choices(list(_CALLS), list(_CALLS.values()))
            try:
                self._call(name if self.book.there else "add")
            except Exception as error:
                self.tally.failed += 1
                self.tally.note(f"{name}: {error!r}")
            self.tally.calls += 1

    def _call(self, name: str) -> None:
        memory, book, chance = self._memory, self.book, self._chance
        if name == "add":
            new = tuple(memo(chance, self._name) for _ in range(chance.randint(1, 3)))
            self._do(Op("add", new))
            return
        id = chance.choice(sorted(book.there))
        one = book.there[id]
        if name == "again":
            again = call(memory, Op("add", (one,)))
            self._require(again == [id], "duplicated", f"{one}, added again, has {again}, not {id}")
        elif name == "get":
            text = memory.get(id, user_id=self._name).text
            self._require(text == one.text, "lost", f"{one} is {text!r}")
        elif name == "count":
            counted = memory.count(user_id=self._name)
            self._require(counted == len(book.there), "lost", f"{counted} of {len(book.there)}")
        elif name == "list":
            listed = {chunk.id: chunk.text for chunk in memory.list(user_id=self._name)}
            expected = {id: memo.text for id, memo in book.there.items()}
            self._require(listed == expected, "lost", f"{listed} is listed, not {expected}")
        elif name == "recall":
            self._recall(id, one)
        elif name == "update":
            other = one._replace(version=one.version + 1)
            if chance.random() < 0.5:
                other = memo(chance, self._name)
            self._do(Op("update", (other,), (id,)))
        else:
            ids = chance.sample(sorted(book.there), min(len(book.there), chance.randint(1, 8)))
            self._do(Op("forget", ids=tuple(ids)))

    def _do(self, op: Op) -> None:
        self.book.done(op, call(self._memory, op))

    def _recall(self, id: int, one: Memo) -> None:
        modes: tuple[Mode, ...] = ("lexical", "hybrid")
        mode = self._chance.choice(modes)
        hits = self._memory.recall(one.token, user_id=self._name, k=3, mode=mode)
        found = [hit.id for hit in hits]
        self._require(id in found, "lost", f"{one}, memory {id}, is not among {found}")
        others = [hit.scope.user_id for hit in hits if hit.scope.user_id != self._name]
        self._require(not others, "leaked", f"{self._name} has found memories of {others}")

    def _require(self, held: bool, count: str, what: str) -> None:
        if not held:
            setattr(self.tally, count, getattr(self.tally, count) + 1)
            self.tally.note(what)
