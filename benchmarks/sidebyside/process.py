"""Runs one system in a process of its own, and caches its measurements for repeated runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from agentmem.errors import AgentMemError

# No downloads and no telemetry, whatever a system's libraries do by default.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "MEM0_TELEMETRY": "False",
    "TOKENIZERS_PARALLELISM": "false",
}
# The package of the systems that are agentmem itself.
_OURS = "benchmarks.sidebyside.ours"
_STEP = re.compile(r"\[(\d+), (\d+)\]\n")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class SystemFailedError(AgentMemError):
    """A system's process ended without a measurement; the message is its last line of output."""


def measured_by(
    job: Mapping[str, Any],
    *,
    threads: int,
    path: Sequence[Path],
    runs: Path | None,
    on_step: Callable[[int, int], None],
) -> dict[str, Any]:
    """Measure a system in a process of its own, or reuse the cached result of an identical run.

    Args:
        job: As `benchmarks.sidebyside.worker.measure` takes it, without ``folder``.
        threads: Number of threads that its libraries may use.
        path: Folders that are searched for its modules before all others.
        runs: Folder of cached measurements; None caches nothing. An identical run has the same job,
            threads and Python, and the same bytes of the data and of the system's package.
        on_step: Called with the numbers of steps done and in total.

    Returns:
        The result of `measure`.

    Raises:
        SystemFailedError: The process failed.
    """
    kept = None if runs is None else runs / f"{_digest(job, threads, path)}.json"
    if kept is not None and kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    with tempfile.TemporaryDirectory() as folder:
        measured = _start(job, Path(folder), _environment(threads, path, folder), on_step)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(".tmp")
        unfinished.write_text(json.dumps(measured), encoding="utf-8")
        unfinished.replace(kept)
    return measured


def _start(
    job: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    on_step: Callable[[int, int], None],
) -> dict[str, Any]:
    (folder / "store").mkdir()
    job_file, measured, errors = (folder / name for name in ("job.json", "measured.json", "errors"))
    job_file.write_text(json.dumps({**job, "folder": str(folder / "store")}), encoding="utf-8")
    command = (sys.executable, "-m", "benchmarks.sidebyside.worker", job_file, measured)
    with (
        errors.open("wb") as sink,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=sink, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                # Libraries may print to standard output as well.
                if step := _STEP.fullmatch(line):
                    on_step(int(step[1]), int(step[2]))
        except BaseException:
            process.kill()  # Nothing reads its output anymore.
            raise
    if process.returncode != 0 or not measured.exists():
        output = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SystemFailedError(output[-1] if output else f"exit status {process.returncode}")
    found: dict[str, Any] = json.loads(measured.read_text(encoding="utf-8"))
    return found


def _environment(threads: int, path: Sequence[Path], folder: str) -> dict[str, str]:
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        **_OFFLINE,
        **dict.fromkeys(_THREADS, str(threads)),
        # mem0 writes files of its own here, whatever folder it is given.
        "MEM0_DIR": folder,
        "PYTHONPATH": os.pathsep.join([*map(str, path), *([known] if known else [])]),
    }


def _digest(job: Mapping[str, Any], threads: int, path: Sequence[Path]) -> str:
    key = json.dumps([job, threads, sys.version], sort_keys=True)
    digest = hashlib.sha256(key.encode())
    digest.update(Path(job["data"]).read_bytes())
    for file in _code(job["system"].partition(":")[0], path):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _code(module: str, path: Sequence[Path]) -> Iterator[Path]:
    """All files of a system's packages, found without importing them."""
    package = module.rpartition(".")[0] or module
    packages = (package, "agentmem", "agentmem_storage") if package == _OURS else (package,)
    for name in packages:
        for folder in _folders(name, [*map(str, path), *sys.path]):
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file() and file.parent.name != "__pycache__":
                    yield file


def _folders(package: str, path: Sequence[str]) -> Sequence[str]:
    """The folders of a package."""
    for name in package.split("."):
        spec = PathFinder.find_spec(name, path)
        path = (spec and spec.submodule_search_locations) or ()
    return path
