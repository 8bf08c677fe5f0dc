"""``python -m benchmarks.reading.latency``: time of an answer and of its first token; bytes kept.

The same question about the same memories, turns of LoCoMo, in three ways: read as text, as states
that are made now, and as states that have been kept. They alternate in one run; the median over
rounds counts. And whole answers, from the question to their last token: the first questions on the
personal facts, eight memories each.

All times are CPU time of the process, which with one thread is what it takes on a quiet machine.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import torch
import typer

from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import build_result, write_result
from agentmem.models.bundle.manifest import READER, shipped_bundle
from agentmem.models.reader.language_model import find_language_model
from agentmem.models.reader.reader import Mode, StatesReader
from agentmem.models.reader.saving import load_config
from benchmarks.command import run
from benchmarks.reading.items import Item, personal_items

QUESTION = "What did they talk about?"
TOKENS = (1_024, 4_096)
_MEMORIES, _ANSWERS = 8, 30
WAYS: tuple[tuple[str, Mode], ...] = (
    ("text", "text"),
    ("states_made", "states"),
    ("states_kept", "states"),
)


class _FirstToken(Exception):
    """Stops an answer that has begun."""


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    reader: Annotated[Path | None, typer.Option(help="adapter; else the shipped one")] = None,
    threads: Annotated[int, typer.Option(help="torch threads")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="of which the median counts")] = 3,
) -> None:
    """Measure, and write the result file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    adapter = reader or shipped_bundle() / READER
    model = find_language_model(load_config(adapter).language_model)
    read = StatesReader.from_pretrained(adapter, model, cache_bytes=1 << 32)
    # What it would withhold takes as long as what it writes.
    read.model.config = read.model.config.model_copy(update={"abstain_above": 1.0})
    turns = [
        f"{turn.speaker} ({turn.at:%-d %B %Y}): {turn.content}" if turn.at else turn.content
        for conversation in read_conversations(data).conversations
        for turn in conversation.turns
    ]
    rows = [_measure(read, lines, rounds) for lines in _of_lengths(read, turns)]
    answered = [_answer(read, item) for item in islice(personal_items([_MEMORIES]), _ANSWERS)]
    result = build_result(
        "reading-latency",
        config={"tokens": TOKENS, "rounds": rounds},
        seed=0,
        seconds=round(time.perf_counter() - began, 1),
        results={
            "first_token": rows,
            "answers": {
                "questions": len(answered),
                "memories": _MEMORIES,
                "tokens": round(fmean(tokens for tokens, _ in answered)),
                "median_seconds": round(median(seconds for _, seconds in answered), 3),
                "longest_seconds": round(max(seconds for _, seconds in answered), 3),
            },
        },
        threads=threads,
    )
    write_result(json, result)
    typer.echo(result.to_json())


def _of_lengths(reader: StatesReader, turns: list[str]) -> list[list[str]]:
    """The first turns, up to each number of tokens."""
    found = []
    for wanted in TOKENS:
        lines: list[str] = []
        tokens = 0
        for turn in turns:
            tokens += reader.count_tokens(turn)
            if tokens > wanted:
                break
            lines.append(turn)
        found.append(lines)
    return found


def _measure(reader: StatesReader, lines: list[str], rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name, _ in WAYS}
    for _ in range(rounds):
        for name, mode in WAYS:
            if name == "states_made":
                reader.drop_states()
            seconds[name].append(_first_token(reader, lines, mode))
    middle = {name: median(times) for name, times in seconds.items()}
    return {
        "memories": len(lines),
        "tokens": sum(map(reader.count_tokens, lines)),
        **{f"{name}_seconds": round(time, 3) for name, time in middle.items()},
        "kept_speedup": round(middle["text"] / middle["states_kept"], 1),
        "made_speedup": round(middle["text"] / middle["states_made"], 2),
        "states_bytes": reader.kept_bytes,
    }


def _answer(reader: StatesReader, item: Item) -> tuple[int, float]:
    """Tokens of the memories, and seconds of a whole answer from their text."""
    began = time.process_time()
    reader.read(item.question, item.memories)
    return sum(map(reader.count_tokens, item.memories)), time.process_time() - began


def _first_token(reader: StatesReader, lines: list[str], mode: Mode) -> float:
    began = time.process_time()
    found: list[float] = []

    def stop(text: str) -> None:
        found.append(time.process_time() - began)
        raise _FirstToken

    try:
        reader.read(QUESTION, lines, mode=mode, max_tokens=8, on_text=stop)
    except _FirstToken:
        return found[0]
    return time.process_time() - began


if __name__ == "__main__":
    run(main)
