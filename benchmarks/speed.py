"""Speed benchmark: turns written per second, compared with an embedding model, and recall latency.

Measured on the same LoCoMo turns, alternating in one run, as the median over rounds:
- all-MiniLM-L6-v2 embeds them, in float32 and in bfloat16 (its package is the extra ``bench``),
- our models process them: chunk, encode, verify by decoding, embed,
- `Memory.add` stores them on disk.

Then recalls, including query encoding and reading the texts, with and without the reranker, from
stores of 6,000 and 100,000 memories (the turns of all conversations, repeated for further users
until there are enough; a recall searches all of them).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from agentmem import Memory
from agentmem.context.recall import Recall
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import latency_ms
from agentmem.evaluation.result import build_result, write_result
from agentmem.ingest.chunk import chunk_text
from agentmem.ingest.encode import BATCH
from agentmem.ingest.threads import map_in_threads
from agentmem.models.bundle.load import ModelBundle, load_bundle
from benchmarks.command import run
from benchmarks.minilm import MiniLM

TURNS, RECALLS = 1_000, 300
MEMORIES = (6_000, 100_000)
WRITE = "encode, verify, key"
MINILM, MINILM_BF16 = "all-MiniLM-L6-v2", "all-MiniLM-L6-v2, bfloat16"

Turn = dict[str, Any]


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    threads: Annotated[int, typer.Option(help="threads of either")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="of which the median counts")] = 3,
    memories: Annotated[
        list[int] | None, typer.Option(help="in a store; default: 6,000 and 100,000")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="model bundle; else the shipped one")] = None,
) -> None:
    """Measure, and write the result file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    conversations = read_conversations(data).conversations
    turns: list[Turn] = [
        {"name": turn.speaker, "content": turn.content, "at": turn.at}
        for conversation in conversations
        for turn in conversation.turns
    ]
    questions = [question.question for c in conversations for question in c.questions]
    bundle = load_bundle(None if model is None else str(model))
    with tempfile.TemporaryDirectory() as folder:
        written = _writing(turns[:TURNS], bundle, Path(folder), rounds, threads)
        sizes = memories or MEMORIES
        recalled = list(_recalling(turns, questions, bundle, Path(folder) / "recall", sizes))
    result = build_result(
        "speed",
        config={
            "data": data.name,
            "turns": TURNS,
            "rounds": rounds,
            "recalls": RECALLS,
            "memories": sorted(sizes),
            "model": bundle.name,
            "weights": bundle.fingerprint,
        },
        seed=0,
        seconds=time.perf_counter() - began,
        results=written | {"recall": recalled},
        threads=threads,
    )
    write_result(json, result)
    typer.echo(result.to_json())


def _writing(
    turns: Sequence[Turn], bundle: ModelBundle, folder: Path, rounds: int, threads: int
) -> dict[str, Any]:
    texts = [turn["content"] for turn in turns]
    tokens = sum(len(ids) for ids in bundle.tokenizer.encode_batch(texts))
    minilm = MiniLM()
    stores = iter(range(rounds + 1))

    def add() -> None:
        with Memory(folder / f"add-{next(stores)}", model=bundle, threads=threads) as memory:
            memory.add(turns, user_id="bench")

    models: dict[str, Callable[[], object]] = {
        WRITE: lambda: write(texts, bundle, threads),
        MINILM: lambda: minilm.embed(texts, bf16=False),
        MINILM_BF16: lambda: minilm.embed(texts, bf16=True),
    }
    tasks = {**models, "add": add}
    for task in tasks.values():
        task()
    # Alternating, so that other load on the machine slows all of them alike.
    seconds = [{name: _timed(task) for name, task in tasks.items()} for _ in range(rounds)]
    speeds = {name: len(texts) / median(one[name] for one in seconds) for name in tasks}
    return {
        "adds_per_second": speeds["add"],
        "tokens_per_second": speeds["add"] * tokens / len(texts),
        "models": {name: speeds[name] for name in models},
        "write_over_minilm": speeds[WRITE] / speeds[MINILM],
        "write_over_minilm_bf16": speeds[WRITE] / speeds[MINILM_BF16],
        "seconds": seconds,
    }


def write(texts: Sequence[str], bundle: ModelBundle, threads: int) -> None:
    """The model work of `Memory.add`, without a store."""
    chunks = [
        piece.ids
        for text in texts
        for piece in chunk_text(text, bundle.tokenizer, max_tokens=bundle.codec.max_tokens)
    ]
    batches = [chunks[start : start + BATCH] for start in range(0, len(chunks), BATCH)]
    for _ in map_in_threads(bundle.encode, batches, threads):
        pass


def _recalling(
    turns: Sequence[Turn],
    questions: Sequence[str],
    bundle: ModelBundle,
    folder: Path,
    sizes: Sequence[int],
) -> Iterator[dict[str, Any]]:
    step = max(1, len(questions) // RECALLS)
    chosen = questions[::step][:RECALLS]
    with Memory(folder, model=bundle) as memory:
        copies = 0
        for least in sorted(sizes):
            while (memories := memory.stats().memories) < least:
                memory.add(turns[: least - memories], user_id=f"copy-{copies}")
                copies += 1
            for rerank in (None, "latent"):
                for question in questions[:10]:
                    memory.recall(question, rerank=rerank)
                seconds = [
                    _timed(lambda: _read(memory.recall(question, k=8, rerank=rerank)))  # noqa: B023
                    for question in chosen
                ]
                yield {"memories": memories, "rerank": rerank, **latency_ms(seconds)}


def _read(hits: Recall) -> list[str]:
    """The texts, which are decoded when they are read."""
    return [hit.text for hit in hits]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    run(main)
