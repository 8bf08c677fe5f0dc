"""`Memory(threads=)`: the same bytes, the program's torch as it was, and no thread that waits."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from agentmem import Memory
from agentmem.errors import InputError
from agentmem.ingest.encode import BATCH
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.layers.inference import inference
from agentmem.testing import tiny_bundle

MANY = [f"message {number} about {'a train ' * (number % 5)}" for number in range(2 * BATCH + 60)]

# A machine with one core, and a program that lets torch use two threads: they would spin for each
# other, and so would two processes.
ONE_CORE = """
import os, sys, torch
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
torch.set_num_threads(2)
from agentmem import Memory

with Memory(":memory:", model=sys.argv[1], threads=2) as mem:
    mem.add([f"message {number}" for number in range(600)])
    assert mem.recall("message 17")[0].text
    assert mem.verify().checked == 600
assert torch.get_num_threads() == 2
"""


def rows(database: Path) -> list[tuple[bytes, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.execute("SELECT key, patch, latents, text_hash FROM chunks"))


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_what_is_stored_does_not_depend_on_it(tmp_path: Path, model: ModelBundle) -> None:
    stored = []
    steps: list[int] = []
    for threads in (1, 3):
        with Memory(tmp_path / str(threads), model=model, threads=threads) as memory:
            memory.add(MANY, created_at=0, on_progress=lambda done, _: steps.append(done))
        stored.append(rows(tmp_path / str(threads) / "memory.db"))
    assert steps == [BATCH, 2 * BATCH, len(MANY)] * 2
    assert stored[0] == stored[1]
    assert len(stored[0]) == len(MANY)


def test_not_a_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="threads must be 1 or more, got 0"):
        Memory(tmp_path / "s", threads=0)
    monkeypatch.setenv("AGENTMEM_THREADS", "many")
    with pytest.raises(InputError, match="AGENTMEM_THREADS is 'many'"):
        Memory(tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("two_threads")
class TestTorchOfTheProgram:
    def test_it_has_one_thread_inside_and_as_many_as_before_outside(self) -> None:
        with inference():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="no"), inference():
            raise ValueError("no")
        assert torch.get_num_threads() == 2

    def test_a_memory_leaves_it_as_it_was(self, memory: Memory) -> None:
        memory.add(MANY)
        assert memory.recall("a train")[0].text
        assert torch.get_num_threads() == 2

    def test_a_thread_that_begins_meanwhile_has_the_programs_number_afterwards(self) -> None:
        """One that is new to torch takes the number that was set last, by whichever thread."""
        inside, entered, found = threading.Event(), threading.Event(), []

        def newcomer() -> None:
            inside.wait(60)
            with inference():
                entered.set()
            found.append(torch.get_num_threads())

        thread = threading.Thread(target=newcomer)
        thread.start()
        with inference():
            inside.set()
            entered.wait(60)
            thread.join(60)
        assert found == [2]
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join(60)
        assert found == [2, 2]
        assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_one_core_for_two_threads(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_CORE, str(tiny_bundle(tmp_path))],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
