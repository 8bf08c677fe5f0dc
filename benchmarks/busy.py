"""Busy benchmark: what adding and recalling take beside busy processes.

Rounds alternate between a machine that does nothing else and one with busy processes, so that what
changes meanwhile changes both. A process without a core of its own waits for one; threads that wait
for each other would make that many times longer.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer

from agentmem import Memory
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import latency_ms
from agentmem.evaluation.result import build_result, write_result
from benchmarks.command import run

_CALLS = ("add", "recall")


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    others: Annotated[int, typer.Option(min=1, help="busy processes")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="of each kind, alternating")] = 6,
    calls: Annotated[int, typer.Option(min=1, help="of each verb in a round")] = 50,
    memories: Annotated[int, typer.Option(min=1, help="in the store before")] = 1000,
) -> None:
    """Measure, and write the result file."""
    began = time.perf_counter()
    conversations = read_conversations(data).conversations
    texts = list(dict.fromkeys(turn.content for one in conversations for turn in one.turns))
    questions = [question.question for one in conversations for question in one.questions]
    took: dict[str, dict[str, list[float]]] = {
        kind: {call: [] for call in _CALLS} for kind in ("idle", "busy")
    }
    with tempfile.TemporaryDirectory() as folder, Memory(folder) as memory:
        memory.add([{"role": "user", "content": text} for text in texts[:memories]])
        fresh, asked = iter(texts[memories:]), cycle(questions)
        _round(memory, [next(fresh)], [next(asked)])  # loads the networks
        for _ in range(rounds):
            for kind, busy in (("idle", 0), ("busy", others)):
                with _busy(busy):
                    new = [next(fresh) for _ in range(calls)]
                    found = _round(memory, new, [next(asked) for _ in range(calls)])
                for call, seconds in found.items():
                    took[kind][call] += seconds
    result = build_result(
        "busy",
        config={
            "data": data.name,
            "others": others,
            "rounds": rounds,
            "calls": calls,
            "memories": memories,
        },
        seed=0,
        seconds=time.perf_counter() - began,
        results={
            **{kind: {call: latency_ms(one) for call, one in took[kind].items()} for kind in took},
            "busy_over_idle": {
                call: statistics.median(took["busy"][call]) / statistics.median(took["idle"][call])
                for call in _CALLS
            },
        },
        threads=1,
    )
    write_result(json, result)
    typer.echo(result.to_json())


def _round(
    memory: Memory, texts: Sequence[str], questions: Sequence[str]
) -> dict[str, list[float]]:
    """How long each call takes, in seconds; of a recall, its texts are read too."""
    took: dict[str, list[float]] = {call: [] for call in _CALLS}
    for text, question in zip(texts, questions, strict=True):
        began = time.perf_counter()
        memory.add({"role": "user", "content": text})
        added = time.perf_counter()
        _ = [hit.text for hit in memory.recall(question)]
        took["add"].append(added - began)
        took["recall"].append(time.perf_counter() - added)
    return took


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that compute until the block ends."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    started: list[subprocess.Popen[Any]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield
    finally:
        for one in started:
            one.kill()
            one.communicate()


if __name__ == "__main__":
    run(main)
