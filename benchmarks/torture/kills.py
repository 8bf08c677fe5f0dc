"""Processes that are killed at random points, and what their stores hold afterwards."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.sql.connection import erasing
from agentmem_storage.sql.lexical import unindexing
from benchmarks.torture import sqlite_calls
from benchmarks.torture.book import Book, Tally
from benchmarks.torture.killable import Say, live, record
from benchmarks.torture.look import look, look_at_copies
from benchmarks.torture.witness import Witness
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

# What Python says of its own file calls, see `sys.addaudithook`.
_FILE_CALLS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"})
# So many processes die at a store before the next one is made.
_LIVES = 40
# How often another process has the store open; but not when it gets another bundle.
_WITNESSED = 0.3
# What decides whether a store is large enough to be purged in place: as it is, and for any store.
_LARGE = erasing.LEAST_BYTES, unindexing.ROWS_FOR_EACH
_ANY = 0, 0


class _Killer:
    """Kills its own process at a file call: before it is made, or right after.

    An observer for `benchmarks.torture.sqlite_calls.watch`.

    Args:
        at: The number of the call, from 1.
        after: Whether right after.

    Attributes:
        armed: Whether calls count.
    """

    def __init__(self, at: int, *, after: bool) -> None:
        self._left, self._after = at, after
        self.armed = False

    def before(self, call: str, path: str) -> None:
        """SQLite is about to make a call."""
        self._left -= self.armed
        if self._left == 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, call: str, path: str) -> None:
        """SQLite has made it."""
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, _: object) -> None:
        """Python is about to make a call."""
        if event in _FILE_CALLS:
            self.before(event, "")

    def opened(self, path: str) -> None:
        """What has been opened makes no difference."""

    def written(self, path: str, offset: int, data: bytes) -> None:
        """Nor what has been written."""

    def truncated(self, path: str, size: int) -> None:
        """Nor this."""

    def synced(self, path: str) -> None:
        """Nor this."""

    def deleted(self, path: str, *, synced: bool) -> None:
        """Nor this."""


def kill_processes(
    count: int,
    *,
    models: Mapping[str, ModelBundle],
    seed: int,
    scratch: Path,
    on_progress: Callable[[int, int], object],
    until: float = math.inf,
    encrypted: float = ENCRYPTED,
) -> Tally:
    """Kill processes, each while it works on a store; the kinds of work take turns.

    Half of them are killed at a file call, the others after a time, of up to a little more than
    such work has taken before. Meanwhile, another process has some of the stores open, and ends
    afterwards. Half of the stores are purged as only large ones are.

    Args:
        count: How many.
        models: Two bundles, between which stores are migrated.
        seed: Of all choices but those of time.
        scratch: A folder for stores.
        on_progress: Called with the number killed so far and ``count``.
        until: When to stop though fewer were killed, by `time.monotonic`.
        encrypted: The share of encrypted stores, 0 to 1.

    Returns:
        What was found.
    """
    chance = random.Random(f"kills {seed}")
    tally = Tally()
    lengths: dict[str, float] = defaultdict(lambda: 0.02)
    store, damaged = _Store(scratch, models, chance, encrypted), 0
    for number in range(count):
        if time.monotonic() > until:
            break
        if number % _LIVES == 0 or tally.damaged > damaged:
            store.remove()
            store, damaged = _Store(scratch, models, chance, encrypted), tally.damaged
        kind = KINDS[number % len(KINDS)]
        # One that is killed while it creates a store has one of its own.
        at = store
        if kind == "create":
            at = _Store(scratch, models, chance, encrypted, create=False)
        at.round(kind, f"{seed} {number}", tally, lengths)
        tally.encrypted += at.encrypted
        if at is not store:
            at.remove()
        tally.rounds = number + 1
        on_progress(tally.rounds, count)
    return tally


class _Store:
    """A store, and the processes that die at it."""

    def __init__(
        self,
        scratch: Path,
        models: Mapping[str, ModelBundle],
        chance: random.Random,
        encrypted: float,
        *,
        create: bool = True,
    ) -> None:
        self._scratch, self._models, self._chance = scratch, models, chance
        self._place = scratch / f"store-{chance.getrandbits(64):x}"
        self._key = draw_key(chance, encrypted)
        self._large = chance.choice([_LARGE, _ANY])
        self._model = min(models)
        self._book = Book()
        if create:
            opened(self._place, models[self._model], self._key, create=True).close()

    @property
    def encrypted(self) -> bool:
        """Whether it is encrypted."""
        return self._key is not None

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self._place)

    def round(self, kind: str, seed: str, tally: Tally, lengths: dict[str, float]) -> None:
        """Let a process live and die, and look at what is left."""
        chance = self._chance
        # For the process, which is forked, and for the look at what is left.
        erasing.LEAST_BYTES, unindexing.ROWS_FOR_EACH = self._large
        planned = draw_round(kind, self._book, chance, self._scratch)
        by_call = chance.random() < 0.5
        killer = _Killer(draw_call(chance), after=chance.random() < 0.5)
        delay_s = chance.random() * lengths[kind] * 1.2
        witness = None
        if kind not in ("create", "migrate") and chance.random() < _WITNESSED:
            witness = Witness(self._place, self._models[self._model], self._key, chance)

        def work(say: Say) -> None:
            def tell(what: str, ids: list[int]) -> None:
                killer.armed = True
                say(what, ids)

            if by_call:
                killer.armed = kind == "create"
                sqlite_calls.watch(killer)
                sys.addaudithook(killer.audit)
            ops = chain(planned, endless(seed))
            Process(self._place, self._models, self._model, self._key, tell).run(ops)

        said, length_s = live(
            work,
            calls=len(planned),
            delay_s=None if by_call else delay_s,
            from_birth=kind == "create",
        )
        if witness is not None and not witness.end():
            tally.failed += 1
            tally.note(f"another process failed after a {kind} was killed")
        if length_s is not None:
            lengths[kind] = 0.9 * lengths[kind] + 0.1 * length_s
        begun, finished = record(self._book, chain(planned, endless(seed)), said)
        tally.calls += len(finished)
        if any(op.name == "migrate" for op in finished):
            self._model = other_model(self._model, self._models)
        before = self._models[self._model]
        self._model = look(
            *(self._place, self._models, self._model, self._key, self._book, begun),
            tally=tally,
            chance=chance,
        )
        look_at_copies(self._place, finished, begun, before, self._key, tally)
