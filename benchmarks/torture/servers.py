"""A PostgreSQL server that is killed, or what works on it, and what its store holds afterwards."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.errors import StoreError
from agentmem_storage.testing.postgres import PostgresServer
from benchmarks.torture.book import Book, Tally
from benchmarks.torture.killable import Say, live, record
from benchmarks.torture.look import look, look_at_copies
from benchmarks.torture.work import Process, draw_round, endless, opened

# Of the work on a folder, what there is for a server.
KINDS = ("add", "update", "forget", "reindex", "export")
# So many die before the next store is made.
_LIVES = 40
# Up to so long after the last planned call has begun, a little more than most take.
_MOST_S = 0.06


def kill_servers(
    count: int,
    *,
    models: Mapping[str, ModelBundle],
    seed: int,
    scratch: Path,
    on_progress: Callable[[int, int], object],
    until: float = math.inf,
) -> Tally:
    """Kill a server with all its processes, or the process that works on its store; by turns.

    The arguments are those of `benchmarks.torture.kills.kill_processes`.
    """
    chance = random.Random(f"servers {seed}")
    tally = Tally()
    if not count:
        return tally
    server = PostgresServer()
    try:
        store, damaged = _Store(server, scratch, models, chance), 0
        for number in range(count):
            if time.monotonic() > until:
                break
            if (number and number % _LIVES == 0) or tally.damaged > damaged:
                store, damaged = _Store(server, scratch, models, chance), tally.damaged
            # Each kind dies both ways.
            own = number // len(KINDS) % 2 == 1
            store.round(KINDS[number % len(KINDS)], f"{seed} {number}", tally, own=own)
            tally.rounds = number + 1
            on_progress(tally.rounds, count)
    finally:
        server.stop()
    return tally


class _Store:
    """A store in a schema of its own, and the deaths that it goes through."""

    def __init__(
        self,
        server: PostgresServer,
        scratch: Path,
        models: Mapping[str, ModelBundle],
        chance: random.Random,
    ) -> None:
        self._server, self._scratch, self._models, self._chance = server, scratch, models, chance
        self._url = server.url(f"{chance.getrandbits(64):x}")
        self._model = min(models)
        self._book = Book()
        opened(self._url, models[self._model], None, create=True).close()

    def round(self, kind: str, seed: str, tally: Tally, *, own: bool) -> None:
        """Let a process work until it is killed, or the server is, and look at what is left.

        Args:
            kind: Of what is being done.
            seed: Of what is done.
            tally: Is added to.
            own: Whether the process is killed.
        """
        planned = draw_round(kind, self._book, self._chance, self._scratch)

        def work(say: Say) -> None:
            ops = chain(planned, endless(seed))
            try:
                Process(self._url, self._models, self._model, None, say).run(ops)
            except StoreError:
                if own:
                    raise
                os._exit(0)

        delay_s = self._chance.random() * _MOST_S
        if own:
            said, _ = live(work, calls=len(planned), delay_s=delay_s)
        else:
            said, _ = live(
                work, calls=len(planned), delay_s=delay_s, kill=lambda _: self._server.kill()
            )
            self._server.start()
        begun, finished = record(self._book, chain(planned, endless(seed)), said)
        tally.calls += len(finished)
        model = self._models[self._model]
        look(
            *(self._url, self._models, self._model, None, self._book, begun),
            tally=tally,
            chance=self._chance,
        )
        look_at_copies(Path(), finished, begun, model, None, tally)
