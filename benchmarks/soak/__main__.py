"""``python -m benchmarks.soak``: conversations that pause between turns, then without pause."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import build_result, write_result
from benchmarks.command import run
from benchmarks.soak.conversation import Plan
from benchmarks.soak.study import soak

_MALLOC = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    sessions: Annotated[int, typer.Option(min=1, help="conversations at the same time")] = 50,
    turns: Annotated[int, typer.Option(min=1, help="turns of each")] = 100,
    think: Annotated[
        float, typer.Option(min=0.001, help="seconds a turn takes model and user, on average")
    ] = 10.0,
    forgets: Annotated[
        float, typer.Option(min=0, max=1, help="share of turns after which a message is forgotten")
    ] = 0.1,
    window: Annotated[int, typer.Option(min=2, help="messages that a chat loop sends")] = 20,
    closed: Annotated[int, typer.Option(min=0, help="turns of each without pause; 0: none")] = 20,
    seed: Annotated[int, typer.Option(help="of all random choices")] = 0,
) -> None:
    """Measure, and write the result file; exit code 1 if anything was lost."""
    began = time.perf_counter()
    conversations = read_conversations(data).conversations
    plan = Plan(sessions, turns, think, forgets, window, seed)
    plans = {"paced": plan}
    if closed:
        plans["closed"] = replace(plan, turns=closed, think_s=0.0)
    results = {}
    for name, one in plans.items():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = soak(Path(folder) / "store", conversations, one)
    result = build_result(
        "soak",
        config={
            "data": data.name,
            "sessions": sessions,
            "turns": turns,
            "think_s": think,
            "forgets": forgets,
            "window": window,
            "closed_turns": closed,
            # Of glibc; see "Memory of a long-running process" in docs/operations.md.
            "malloc": {name: os.environ.get(name) for name in _MALLOC},
        },
        seed=seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=1,
    )
    write_result(json, result)
    typer.echo(result.to_json())
    wrong = ("lost", "altered", "back", "not_recalled")
    raise typer.Exit(any(one[name] for one in results.values() for name in wrong))


if __name__ == "__main__":
    run(main)
