"""Several processes, and killed processes, on one store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle

WORKER = """
import json, os, sys, traceback
import torch
from agentmem import Memory
from agentmem.testing import tiny_model

torch.set_num_threads(1)
model = tiny_model()
open_memories = {}

def opened(place):
    if place not in open_memories:
        open_memories[place] = Memory(place, model=model)
    return open_memories[place]

def close(place):
    if place in open_memories:
        open_memories.pop(place).close()

def add_for_ever(place, acknowledged):
    '''In a process of its own; says what `add` has returned as soon as it has.'''
    pid = os.fork()
    if pid:
        return pid
    with Memory(place, model=model) as memory, open(acknowledged, "w") as log:
        number = 0
        while True:
            texts = [f"process {os.getpid()} says {number} {part}" for part in range(20)]
            ids = memory.add(texts, user_id="ana").ids
            log.write(json.dumps(dict(zip(ids, texts))) + "\\n")
            log.flush()
            number += 1

for line in sys.stdin:
    try:
        answer = {"is": eval(line)}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


class Worker:
    """Another process that has the model loaded and evaluates what it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def tell(self, expression: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["is"]

    def ask(self, expression: str) -> Any:
        self.tell(expression)
        return self.answer()

    def stop(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture
def other(worker: Worker, place: Path) -> Iterator[Callable[[str], Any]]:
    """Evaluates a call of a memory at the same place, in the other process."""
    yield lambda call: worker.ask(f"(lambda mem: {call})(opened({str(place)!r}))")
    worker.ask(f"close({str(place)!r})")


def test_another_process_sees_a_memory_at_once(memory: Memory, other: Callable[[str], Any]) -> None:
    assert other("mem.recall('trains').candidates") == 0
    for number in range(5):
        text = f"train number {number}"
        (id,) = memory.add(text, user_id="ana").ids
        for mode in ("hybrid", "vector", "lexical"):
            found = f"mem.recall({text!r}, k=9, mode={mode!r}, user_id='ana')"
            assert [id, text] in other(f"[(hit.id, hit.text) for hit in {found}]")
        assert other(f"mem.get({id}).text") == text
    (id,) = other("mem.add('a word from the other side').ids")
    assert memory.recall("the other side", mode="lexical")[0].id == id
    assert memory.get(id).text == "a word from the other side"


def test_another_process_does_not_find_what_was_forgotten(
    memory: Memory, place: Path, worker: Worker, other: Callable[[str], Any]
) -> None:
    (id,) = memory.add("the secret of the second process").ids
    memory.add([f"something else {n}" for n in range(20)])
    assert other("mem.recall('secret', mode='lexical')[0].id") == id
    assert other("mem.recall('secret', k=50, mode='vector').candidates") == 21
    assert memory.forget([id]).purged
    for mode in ("hybrid", "vector", "lexical"):
        assert id not in other(f"[hit.id for hit in mem.recall('secret', k=50, mode={mode!r})]")
    # Nor does it bring back what it still had in its own index.
    worker.ask(f"close({str(place)!r})")
    assert not any(b"secret" in path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert id not in other("[hit.id for hit in mem.recall('secret', k=50)]")


def test_two_processes_lose_nothing(memory: Memory, place: Path, worker: Worker) -> None:
    theirs = "[mem.add(f'they say {n}', user_id='they').ids[0] for n in range(25)]"
    worker.tell(f"(lambda mem: {theirs})(opened({str(place)!r}))")
    ids = {"we": [memory.add(f"we say {n}", user_id="we").ids[0] for n in range(25)]}
    ids["they"] = worker.answer()
    worker.ask(f"close({str(place)!r})")
    assert memory.stats().memories == 50
    for name, own in ids.items():
        assert [memory.get(id).text for id in own] == [f"{name} say {n}" for n in range(25)]
        found = memory.recall("say", k=50, user_id=name, mode="vector")
        assert {hit.id for hit in found} == set(own)
    assert memory.verify().ok


def test_two_processes_store_a_transcript_once(memory: Memory, place: Path, worker: Worker) -> None:
    talk = ["Do you smoke?", "No.", "Do you drink?", "No."]
    once = {"role": "user", "content": "once", "id": "m1"}
    added = f"len(mem.add({talk!r}, session_id='s').ids + mem.add({once!r}, session_id='s').ids)"
    assert worker.ask(f"opened({str(place)!r}).stats().memories") == 0
    worker.tell(f"(lambda mem: [{added} for _ in range(2)])(opened({str(place)!r}))")
    for _ in range(2):
        memory.add(talk, session_id="s")
        memory.add(once, session_id="s")
    assert worker.answer() == [5, 5]
    worker.ask(f"close({str(place)!r})")
    assert sorted(chunk.text for chunk in memory.list()) == sorted([*talk, "once"])


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.031])
def test_what_add_has_returned_survives_a_kill(
    place: Path, tmp_path: Path, model: ModelBundle, worker: Worker, delay_s: float
) -> None:
    log = tmp_path / "acknowledged"
    pid = worker.ask(f"add_for_ever({str(place)!r}, {str(log)!r})")
    deadline = time.monotonic() + 240
    while not log.exists() or log.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    assert worker.ask(f"os.waitpid({pid}, 0)[1]") == signal.SIGKILL

    acknowledged: dict[str, str] = {}
    for line in log.read_text().splitlines(keepends=True):
        acknowledged |= json.loads(line) if line.endswith("\n") else {}
    with Memory(place, model=model) as memory:
        assert len(acknowledged) >= 60
        for id, text in acknowledged.items():
            assert memory.get(int(id)).text == text
        found = {hit.id for hit in memory.recall("process says", k=10_000, user_id="ana")}
        assert found >= set(map(int, acknowledged))
        # The call that was killed is there as a whole or not at all.
        assert memory.stats().memories in (len(acknowledged), len(acknowledged) + 20)
        assert memory.verify().ok
        memory.add("life goes on")
