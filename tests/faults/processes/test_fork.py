"""A forked child hung for ever in its first call, even on a memory of its own.

Seen with ProcessPoolExecutor, gunicorn's preload and Celery's prefork: with a store open in the
parent, or only opened once, the child waited for threads that it does not have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

# Scenarios of one parent, which computes with several threads.
PARENT = """
import asyncio, json, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from agentmem import AsyncMemory, Memory
from agentmem.models.lazy import Lazy
from agentmem.testing import tiny_model

folder = sys.argv[1]
model = tiny_model()
TEXTS = [f"note {n} about the trains to Lyon, and more about them " * 8 for n in range(12)]

def used(name):
    mem = Memory(f"{folder}/{name}" if name != ":memory:" else name, model=model)
    mem.add(TEXTS, user_id="parent")
    mem.recall("trains")
    return mem

def child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)  # whatever hangs is killed
        try:
            answer = work()
        except BaseException as error:
            answer = repr(error)
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return json.loads(said) if said else "killed: it hung"

def work_of(mem):
    mem.add([text + "child" for text in TEXTS], user_id="child")
    found = mem.recall("trains", k=50, user_id="child")
    return len(found), len(list(mem.list())), mem.verify().ok

def own(name):
    with Memory(f"{folder}/{name}-own", model=model) as mem:
        return work_of(mem)

def own_memory():
    with used("own"):
        return child(lambda: own("own"))

def opened_once():
    used("once").close()
    return child(lambda: own("once"))

def memory_of_the_parent():
    with used("parents") as mem:
        said = child(lambda: work_of(mem))
        return [*said, len(list(mem.list())), len(mem.recall("trains", k=50)), mem.verify().ok]

def parent_closes_first():
    mem = used("closes")
    go_on, go = os.pipe()
    def late():
        mem.stats()
        os.read(go_on, 1)
        return work_of(mem)
    def close():
        mem.close()
        os.write(go, b"x")
    threading.Timer(0.5, close).start()
    said = child(late)
    with Memory(f"{folder}/closes", model=model, create=False) as again:
        return [*said, len(list(again.list()))]

def in_memory():
    mem = used(":memory:")
    return [*child(lambda: work_of(mem)), len(list(mem.list()))]

def asynchronous():
    mem = AsyncMemory(f"{folder}/async", model=model)
    async def add(words):
        await mem.add(words)
        return len(await mem.recall("trains", k=50)), len([c async for c in mem.list()])
    async def opened():
        await mem.__aenter__()
        return await add(TEXTS)
    asyncio.run(opened())
    said = child(lambda: asyncio.run(add("of the child")))
    return [*said, *asyncio.run(add("of the parent"))]

def while_others_write():
    with used("busy") as mem:
        stop = threading.Event()
        def write():
            number = 0
            while not stop.is_set():
                mem.add(f"number {number}", user_id="thread")
                number += 1
        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        said = [child(lambda: mem.add(f"child {n}").tokens > 0) for n in range(3)]
        stop.set()
        for thread in threads:
            thread.join()
        return [*said, mem.verify().ok]

def process_pool():
    with used("pool"), ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(own, "pool").result(timeout=120)

def multiprocessing_fork():
    with used("fork") as mem:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=work_of, args=(mem,))
        process.start()
        process.join(120)
        alive = process.is_alive()
        process.kill()
        return [not alive, len(list(mem.list()))]

def while_a_model_loads():
    begun = threading.Event()
    def make():
        begun.set()
        time.sleep(0.5)
        return 7
    made = Lazy(make)
    loading = threading.Thread(target=made)
    loading.start()
    begun.wait()
    said = child(made)
    loading.join()
    return [said, made()]

def while_a_module_is_imported():
    with open(f"{folder}/agentmem_slow.py", "w") as module:
        module.write("import time; time.sleep(0.5); VALUE = 7")
    sys.path.append(folder)
    def value():
        import agentmem_slow
        return agentmem_slow.VALUE
    importing = threading.Thread(target=value)
    importing.start()
    while "agentmem_slow" not in sys.modules:
        time.sleep(0.001)
    said = child(value)
    importing.join()
    return [said, value()]

for name in sys.argv[2:]:
    print(json.dumps({name: globals()[name]()}), flush=True)
"""
SCENARIOS = {
    "while_a_model_loads": [7, 7],
    "while_a_module_is_imported": [7, 7],
    "own_memory": [12, 12, True],
    "opened_once": [12, 12, True],
    "memory_of_the_parent": [12, 24, True, 24, 24, True],
    "parent_closes_first": [12, 24, True, 24],
    "in_memory": [12, 24, True, 12],  # the child has a copy
    "asynchronous": [13, 13, 14, 14],
    "while_others_write": [True] * 4,
    "process_pool": [12, 12, True],
    "multiprocessing_fork": [True, 24],
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the children of each scenario said."""
    command = [sys.executable, "-c", PARENT, str(tmp_path_factory.mktemp("forks")), *SCENARIOS]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "2",  # with one thread nothing could hang
        "OMP_WAIT_POLICY": "passive",  # threads that wait leave the processor to others
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    answers: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        answers |= json.loads(line)
    return answers


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_child_works(said: dict[str, Any], scenario: str) -> None:
    assert said[scenario] == SCENARIOS[scenario]
