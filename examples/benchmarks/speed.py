"""How fast a store is: turns added per second, and the time of one recall.

Two measurements on LoCoMo turns, both on disk, verification and query encoding included:
adding a list of 1,000 turns, and recalling from a store of at least 6,000 memories (the turns of
all conversations, and again under another user until there are enough).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from agentmem import Memory
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import latency_ms
from agentmem.evaluation.result import build_result, write_result

TURNS, MEMORIES, RECALLS = 1_000, 6_000, 300


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
) -> None:
    """Measure, and write the result file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    conversations = read_conversations(data).conversations
    turns = [
        (conversation.id, {"name": turn.speaker, "content": turn.content, "at": turn.at})
        for conversation in conversations
        for turn in conversation.turns
    ]
    questions = [question.question for c in conversations for question in c.questions]
    with tempfile.TemporaryDirectory() as folder:
        with Memory(Path(folder) / "warm") as memory:
            memory.add([turn for _, turn in turns[:50]])
        with Memory(Path(folder) / "add") as memory:
            started = time.perf_counter()
            receipt = memory.add([turn for _, turn in turns[:TURNS]], user_id="bench")
            adding = time.perf_counter() - started
        with Memory(Path(folder) / "recall") as memory:
            copies = 0
            while (memories := memory.stats().memories) < MEMORIES:
                memory.add([turn for _, turn in turns], user_id=f"copy-{copies}")
                copies += 1
            step = max(1, len(questions) // RECALLS)
            for question in questions[:10]:
                memory.recall(question)
            seconds = [_timed(memory, question) for question in questions[::step][:RECALLS]]
    result = build_result(
        "speed",
        config={"data": data.name, "turns": TURNS, "recalls": len(seconds)},
        seed=0,
        seconds=time.perf_counter() - began,
        results={
            "adds_per_second": TURNS / adding,
            "tokens_per_second": receipt.tokens / adding,
            "memories": memories,
            "recall_ms": latency_ms(seconds),
        },
        threads=threads,
    )
    write_result(json, result)
    print(result.to_json())


def _timed(memory: Memory, question: str) -> float:
    started = time.perf_counter()
    memory.recall(question, k=8)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
