"""Power cuts: a store as a restart finds it when what was not synced is lost in part."""

from __future__ import annotations

import math
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from agentmem.models.bundle.load import ModelBundle
from benchmarks.torture import sqlite_calls
from benchmarks.torture.book import Book, Tally
from benchmarks.torture.disk import Disk
from benchmarks.torture.killable import Say, live, record
from benchmarks.torture.look import look, look_at_copies
from benchmarks.torture.work import (
    ENCRYPTED,
    KINDS,
    Process,
    draw_call,
    draw_key,
    draw_round,
    endless,
    opened,
    other_model,
)

# So many cuts follow each other before a new store is made.
_LIVES = 40


class _Cut(Disk):
    """A disk whose power is cut at a call of SQLite's, before it is made.

    Args:
        root: Its folder.
        at: The number of the call, from 1.
        target: Where its files are written then.
        chance: What is lost.

    Attributes:
        armed: Whether calls count.
    """

    def __init__(self, root: Path, at: int, target: Path, chance: random.Random) -> None:
        super().__init__(root)
        self.armed = False
        self._left = at
        self._target, self._chance = target, chance

    def before(self, call: str, path: str) -> None:
        """Count the calls."""
        self._left -= self.armed
        if self._left == 0:
            self.after_a_cut(self._target, self._chance)
            os._exit(0)


def cut_power(
    count: int,
    *,
    models: Mapping[str, ModelBundle],
    seed: int,
    scratch: Path,
    on_progress: Callable[[int, int], object],
    until: float = math.inf,
    encrypted: float = ENCRYPTED,
) -> Tally:
    """Cut the power while processes work on a store, and look at what the disk has kept.

    Each process goes on with the disk that the one before has left. The arguments are those of
    `benchmarks.torture.kills.kill_processes`.
    """
    chance = random.Random(f"power {seed}")
    tally = Tally()
    machine, damaged = _Machine(scratch / "disk", models, chance, encrypted), 0
    for number in range(count):
        if time.monotonic() > until:
            break
        if number % _LIVES == 0 or tally.damaged > damaged:
            machine.begin()
            damaged = tally.damaged
        machine.round(KINDS[number % len(KINDS)], f"{seed} {number}", tally)
        tally.rounds = number + 1
        on_progress(tally.rounds, count)
    return tally


class _Machine:
    """A disk with a store, and the power cuts that it goes through."""

    def __init__(
        self,
        disk: Path,
        models: Mapping[str, ModelBundle],
        chance: random.Random,
        encrypted: float,
    ) -> None:
        self._disk, self._models, self._chance = disk, models, chance
        self._model, self._book = min(models), Book()
        self._encrypted = encrypted
        self._key: bytes | None = None

    def begin(self) -> None:
        """Take a new disk."""
        self._key = draw_key(self._chance, self._encrypted)
        shutil.rmtree(self._disk, ignore_errors=True)
        self._disk.mkdir()
        self._model, self._book = min(self._models), Book()
        model = self._models[self._model]
        opened(self._disk / "store", model, self._key, create=True).close()

    def round(self, kind: str, seed: str, tally: Tally) -> None:
        """Let a process work until the power is cut, and look at what is left."""
        # One that creates a store creates another one.
        create = kind == "create"
        place = self._disk / ("new" if create else "store")
        book, model, key = self._book, self._model, self._key
        if create:
            book, model, key = Book(), min(self._models), draw_key(self._chance, self._encrypted)
        planned = draw_round(kind, book, self._chance, self._disk)
        at = draw_call(self._chance)
        kept = self._disk.with_name(f"{self._disk.name}-kept")

        def work(say: Say) -> None:
            disk = _Cut(self._disk, at, kept, random.Random(seed))
            disk.armed = create

            def tell(what: str, ids: list[int]) -> None:
                disk.armed = True
                say(what, ids)

            sqlite_calls.watch(disk)
            ops = chain(planned, endless(seed))
            Process(place, self._models, model, key, tell).run(ops)

        said, _ = live(work, calls=len(planned))
        shutil.rmtree(self._disk)
        kept.rename(self._disk)
        begun, finished = record(book, chain(planned, endless(seed)), said)
        tally.calls += len(finished)
        tally.encrypted += key is not None
        if any(op.name == "migrate" for op in finished):
            model = other_model(model, self._models)
        now = look(place, self._models, model, key, book, begun, tally, self._chance)
        look_at_copies(place, finished, begun, self._models[model], key, tally)
        if create:
            shutil.rmtree(place)
        else:
            self._model = now
