"""Startup benchmark: what the base install weighs, and what a command costs in a new process.

The package is installed without extras into an empty environment, where torch is not; commands run
there on a store of a few memories. Of several runs the least counts: the others waited for
something else. The files have been read once before, so it is not the disk that is measured.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Annotated, Any

import typer

from agentmem.evaluation.result import build_result, write_result
from benchmarks.command import run

ROOT = Path(__file__).parents[1]
_TEXTS = (
    "I booked the 9:40 train to Lyon, seat 23A.",
    "Marta is allergic to peanuts.",
    "The key is under the mat.",
)
_QUESTION = "when does my train leave?"


def main(
    json: Annotated[Path, typer.Option(help="where the result goes")],
    repeats: Annotated[int, typer.Option(help="runs of each command")] = 9,
) -> None:
    """Install into an empty environment, measure there, and write the result file."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        installed = _install(folder / "venv")
        commands = _measure(folder, repeats)
    result = build_result(
        "startup",
        config={"extras": [], "memories": len(_TEXTS), "repeats": repeats},
        seed=0,
        seconds=time.perf_counter() - began,
        results={"installed": installed, "commands": commands},
        threads=1,
    )
    write_result(json, result)
    typer.echo(result.to_json())


def _install(environment: Path) -> dict[str, int]:
    """Install the package; the number of packages, itself among them, and their size in bytes."""
    venv.create(environment)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    pip += ["--disable-pip-version-check"]
    quietly = ("install", "--quiet", "--no-compile")
    constraints = str(ROOT / "constraints.txt")
    subprocess.run((*pip, *quietly, "-c", constraints, str(ROOT)), check=True)
    listed = subprocess.run((*pip, "list", "--format=freeze"), check=True, capture_output=True)
    size = sum(file.lstat().st_size for file in environment.rglob("*") if file.is_file())
    return {"packages": len(listed.stdout.splitlines()), "bytes": size}


def _measure(folder: Path, repeats: int) -> list[dict[str, Any]]:
    python, agentmem = (str(folder / "venv" / "bin" / name) for name in ("python", "agentmem"))
    store = ("--store", str(folder / "store"))
    for text in _TEXTS:
        _run((agentmem, "add", text, *store), folder)
    commands = {
        "import agentmem": (python, "-c", "import agentmem"),
        "agentmem --help": (agentmem, "--help"),
        "agentmem stats": (agentmem, "stats", *store),
        "agentmem list": (agentmem, "list", *store),
        "agentmem recall": (agentmem, "recall", _QUESTION, *store),
        "agentmem add": (agentmem, "add", _TEXTS[0], *store),
    }
    rows = []
    for name, command in commands.items():
        _run(command, folder)  # reads the files, and compiles them
        times = [_run(command, folder) for _ in range(repeats)]
        cpu, wall = (min(one) for one in zip(*times, strict=True))
        rows.append({"command": name, "cpu_s": cpu, "wall_s": wall})
    return rows


def _run(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds of CPU time, of all threads, and of the clock."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall


if __name__ == "__main__":
    run(main)
