"""Killed at any point, `migrate` leaves one good store, and the next call completes it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import IncompatibleModelError
from agentmem.testing import tiny_bundle

# Migrates in forks of itself, each killed before, in or after a transaction that writes.
WORKER = """
import contextlib, json, os, signal, sys
from agentmem import Memory, migration
from agentmem.models.bundle.load import load_bundle
from agentmem_storage.sql.connection.database import Database

old, new = (load_bundle(folder).load() for folder in sys.argv[1:3])
migration._BATCH = 4
write = Database.write

def killed(at, where):
    count = 0

    @contextlib.contextmanager
    def killing(self):
        nonlocal count
        count += 1
        now = count == at
        if now and where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with write(self) as connection:
            yield connection
            if now and where == "in":
                os.kill(os.getpid(), signal.SIGKILL)
        if now and where == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    return killing

for line in sys.stdin:
    store, at, where = json.loads(line)
    pid = os.fork()
    if pid == 0:
        if where != "never":
            Database.write = killed(at, where)
        Memory.migrate(store, model=new, from_model=old)
        os._exit(0)
    if where == "never":
        print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return tiny_bundle(folder / "old"), tiny_bundle(folder / "new", seed=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, bundles: tuple[Path, Path]) -> Path:
    place = tmp_path_factory.mktemp("killed") / "store"
    with Memory(place, model=bundles[0]) as memory:
        memory.add([f"note {n} about trains" for n in range(14)], user_id="ana")
    return place


@pytest.fixture(scope="module")
def worker(bundles: tuple[Path, Path]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, bundles)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    ) as worker:
        yield worker
        worker.communicate()


def tell(worker: subprocess.Popen[str], store: Path, at: int, where: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(json.dumps([str(store), at, where]) + "\n")
    worker.stdin.flush()


def answer(worker: subprocess.Popen[str]) -> int:
    assert worker.stdout is not None
    return int(worker.stdout.readline())


def texts(place: Path, bundles: tuple[Path, Path]) -> tuple[bool, list[tuple[int, str]]]:
    """Whether a store is migrated, and what is in it; it opens with exactly one of the bundles."""
    found = []
    for bundle in bundles:
        try:
            with Memory(place, model=bundle, create=False) as memory:
                assert memory.verify().ok
                found.append((bundle == bundles[1], [(one.id, one.text) for one in memory.list()]))
        except IncompatibleModelError:
            continue
    (only,) = found
    return only


def completed(place: Path, bundles: tuple[Path, Path], before: list[tuple[int, str]]) -> None:
    done = Memory.migrate(place, model=bundles[1], from_model=bundles[0])
    assert texts(place, bundles) == (True, before)
    assert done.changed in ("nothing", "latents")


# Four transactions stage, one switches, one notes that the files are purged.
POINTS = [(at, where) for at in (1, 3, 5, 6) for where in ("before", "in", "after")]


@pytest.mark.parametrize(("at", "where"), POINTS)
def test_killed_at_a_transaction(
    worker: subprocess.Popen[str],
    store: Path,
    bundles: tuple[Path, Path],
    tmp_path: Path,
    at: int,
    where: str,
) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    tell(worker, copy, at, where)
    assert answer(worker) == signal.SIGKILL
    before = [(n + 1, f"note {n} about trains") for n in range(14)]
    migrated, found = texts(copy, bundles)
    assert found == before
    assert migrated == (at > 5 or (at == 5 and where == "after"))
    completed(copy, bundles, before)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_killed_at_any_time(
    worker: subprocess.Popen[str],
    store: Path,
    bundles: tuple[Path, Path],
    tmp_path: Path,
    seed: int,
) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    tell(worker, copy, 0, "never")
    pid = answer(worker)
    time.sleep(random.Random(seed).random() * 0.4)
    with suppress(ProcessLookupError):  # it may be done by then
        os.kill(pid, signal.SIGKILL)
    assert answer(worker) in (0, signal.SIGKILL)
    before = [(n + 1, f"note {n} about trains") for n in range(14)]
    assert texts(copy, bundles)[1] == before
    completed(copy, bundles, before)
