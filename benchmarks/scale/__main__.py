"""``python -m benchmarks.scale``: the index and whole stores at several sizes."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from json import dumps, loads
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import build_result, write_result
from agentmem.models.base import MemoryModel
from agentmem.opening import open_store
from agentmem.training.config import load_config
from agentmem_cli.commands.train import ConfigOption
from agentmem_cli.options import QuietOption
from agentmem_cli.output import Output
from benchmarks.command import run
from benchmarks.copies import Session, encoded, fill
from benchmarks.embeddings import among
from benchmarks.progress import Progress
from benchmarks.scale.config import IndexConfig, ScaleConfig, StoreConfig
from benchmarks.scale.index import measure_index
from benchmarks.scale.store import measure_store


def main(
    config: ConfigOption,
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    work: Annotated[
        Path | None, typer.Option(help="folder that keeps the store and what was measured")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Measure, and write the result file; with --work, another run goes on where it was."""
    began, chosen = time.perf_counter(), load_config(config, ScaleConfig)
    out = Output(quiet=quiet)
    with tempfile.TemporaryDirectory() as scratch, out.progress("scale") as bar:
        results = _measured(chosen, data, work or Path(scratch), bar)
    result = build_result(
        "scale",
        config={"data": data.name, **chosen.model_dump()},
        seed=chosen.seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=1,
    )
    write_result(json, result)


def _measured(config: ScaleConfig, data: Path, work: Path, bar: Progress) -> dict[str, Any]:
    work.mkdir(parents=True, exist_ok=True)
    folder = work / "store"
    questions = list(
        dict.fromkeys(
            one.question
            for conversation in read_conversations(data).conversations
            for one in conversation.questions
        )
    )
    model, store = open_store(folder, None)
    store.close()
    bar(0, 1, "encoding the turns")
    sessions = encoded(data, model, numbered=True)
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    if config.index is not None:
        found["index"] = _indexes(config.index, config.seed, model, sessions, questions, work, bar)
    if config.store is not None:
        found["store"] = _stores(config.store, sessions, questions, folder, work, bar)
    return found


def _indexes(
    config: IndexConfig,
    seed: int,
    model: MemoryModel,
    sessions: list[Session],
    questions: list[str],
    work: Path,
    bar: Progress,
) -> list[dict[str, Any]]:
    chunks = [chunk for one in sessions for source in one.sources for chunk in source.chunks]
    vectors = np.unique(np.stack([chunk.embedding for chunk in chunks]), axis=0)
    step = max(1, len(questions) // config.queries)
    asked = questions[::step][: config.queries]
    queries = np.stack([model.embedder.embed_query(model.tokenizer.encode(one)) for one in asked])
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    rows = []
    for number, count in enumerate(config.embeddings):
        bar(number, len(config.embeddings), f"an index of {count:,} embeddings")

        def measured(count: int = count) -> dict[str, Any]:
            random = np.random.default_rng(seed)
            # In a file, for a large index leaves no room for them.
            with tempfile.TemporaryFile(dir=work) as file:
                shape = (count, vectors.shape[1])
                levels = np.memmap(file, np.int8, "w+", shape=shape)
                among(vectors, count, random, levels)
                return measure_index(levels, queries, config, random, work)

        rows.append(_once(work / f"index-{count}.json", measured))
    return rows


def _stores(
    config: StoreConfig,
    sessions: list[Session],
    questions: list[str],
    folder: Path,
    work: Path,
    bar: Progress,
) -> list[dict[str, Any]]:
    step = max(1, len(questions) // config.questions)
    asked = questions[::step][: config.questions]
    rows = []
    for number, count in enumerate(config.memories):
        bar(number, len(config.memories), f"a store of {count:,} memories")

        def measured(count: int = count) -> dict[str, Any]:
            _, store = open_store(folder, None)
            with store:
                began = time.process_time()
                written = fill(store, sessions, count)
                seconds = time.process_time() - began
                store.rebuild_index()
                user = store.scopes()[-1].scope.user_id
            # A process of its own, of which the resident memory is that of the store.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = (folder, asked, user, config.forgotten)
                row = pool.apply(measure_store, arguments)
            return row | {"written_per_second": written / seconds}

        rows.append(_once(work / f"store-{count}.json", measured))
    return rows


def _once(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured already, or else is measured now."""
    if not file.exists():
        file.write_text(dumps(measure()), encoding="utf-8")
    found: dict[str, Any] = loads(file.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    run(main)
