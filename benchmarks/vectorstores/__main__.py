"""``python -m benchmarks.vectorstores``: the same rows in several stores."""

from __future__ import annotations

import json as json_module
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import build_result, write_result
from agentmem.models.load import load_model
from agentmem.training.config import load_config
from agentmem_cli.commands.train import ConfigOption
from agentmem_cli.options import QuietOption
from agentmem_cli.output import Output
from benchmarks.command import run
from benchmarks.copies import encoded
from benchmarks.vectorstores.config import SystemConfig, VectorStoresConfig
from benchmarks.vectorstores.rows import prepare

_ROOT = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class StoreFailedError(Exception):
    """A store's process ended without a measurement; the message is its last line of output."""


def main(
    config: ConfigOption,
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    memories: Annotated[
        int | None, typer.Option(min=100, help="rows, in place of the configuration's")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="folder that keeps the rows and what was measured")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Measure, and write the result file; with --work, another run goes on where it was.

    Every store gets the same rows, user by user, and is searched in another process. Stores are
    deleted once they are measured.
    """
    began, chosen = time.perf_counter(), load_config(config, VectorStoresConfig)
    if memories is not None:
        chosen = chosen.model_copy(update={"memories": memories})
    out, systems = Output(quiet=quiet), []
    with tempfile.TemporaryDirectory() as scratch, out.progress("stores") as bar:
        folder = work or Path(scratch)
        bar(0, len(chosen.systems), "the rows")
        rows = _rows(chosen, data, folder)
        for number, system in enumerate(chosen.systems):
            bar(number, len(chosen.systems), system.name)
            systems.append(_measured(chosen, system, rows, folder))
    result = build_result(
        "vectorstores",
        config={"data": data.name, **chosen.model_dump()},
        seed=chosen.seed,
        seconds=time.perf_counter() - began,
        results={"load": os.getloadavg()[0], "k": chosen.k, "systems": systems},
        threads=1,
    )
    write_result(json, result)


def _rows(config: VectorStoresConfig, data: Path, work: Path) -> Path:
    """The folder of the rows, which are made unless they are there."""
    folder = work / f"rows-{config.memories}-{config.seed}"
    if folder.exists():
        return folder
    unfinished = work / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    conversations = read_conversations(data).conversations
    questions = dict.fromkeys(
        one.question for conversation in conversations for one in conversation.questions
    )
    asked = list(questions)[:: max(1, len(questions) // config.queries)][: config.queries]
    model = load_model(None)
    queries = np.stack([model.embedder.embed_query(model.tokenizer.encode(one)) for one in asked])
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    sessions = encoded(data, model, numbered=True)
    random = np.random.default_rng(config.seed)
    prepare(unfinished, sessions, queries, config.memories, random)
    unfinished.rename(folder)
    return folder


def _measured(
    config: VectorStoresConfig, system: SystemConfig, rows: Path, work: Path
) -> dict[str, Any]:
    """What was measured of a store already, or else is measured now."""
    kept = work / f"{system.name}-{config.memories}-{config.seed}.json"
    named = {"name": system.name, "note": system.note}
    if kept.exists():
        return {**json_module.loads(kept.read_text(encoding="utf-8")), **named}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        place = Path(folder) / "store"
        place.mkdir()
        base = {
            "rows": str(rows),
            "folder": str(place),
            "system": system.system,
            "options": system.options,
        }
        try:
            added = _run({**base, "phase": "add", "limit_s": system.limit_s}, Path(folder))
            asked = {"memories": added["memories"], "k": config.k, "number": config.number}
            searched = _run({**base, "phase": "search", **asked}, Path(folder))
        except StoreFailedError as error:
            # Not kept, so that the next run tries again.
            return {**named, "error": str(error)}
    measured = {"error": None, **added, **searched}
    kept.write_text(json_module.dumps(measured), encoding="utf-8")
    return {**measured, **named}


def _run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a phase in a process of its own."""
    job_file, measured, errors = (folder / name for name in ("job.json", "measured.json", "errors"))
    job_file.write_text(json_module.dumps(job), encoding="utf-8")
    measured.unlink(missing_ok=True)
    command = (sys.executable, "-m", "benchmarks.vectorstores.worker", job_file, measured)
    known = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        **dict.fromkeys(_THREADS, "1"),
        "ANONYMIZED_TELEMETRY": "False",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *([known] if known else [])]),
    }
    with errors.open("wb") as sink:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=sink, check=False
        )
    if done.returncode != 0 or not measured.exists():
        output = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise StoreFailedError(output[-1] if output else f"exit status {done.returncode}")
    found: dict[str, Any] = json_module.loads(measured.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    run(main)
