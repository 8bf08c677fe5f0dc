"""The result file that every evaluation command writes.

One JSON object: ``task``, ``config``, ``versions``, ``hardware``, ``seed``, ``seconds``,
``results``, in this order. It says on what kind of machine it was made, not on which one: paths
in it are cut to their last part, and no host name is read.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from agentmem.versions import package_versions


@dataclass(frozen=True)
class EvalResult:
    """What was measured, and what one needs to know to measure it again.

    Attributes:
        task: Name of the evaluation, such as ``fidelity``.
        config: Its settings.
        versions: Version by package name.
        hardware: As `hardware_facts` gives it.
        seed: The seed of everything drawn by chance.
        seconds: How long the whole evaluation took.
        results: What was measured; its form belongs to the task.
    """

    task: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    seed: int
    seconds: float
    results: Mapping[str, Any]

    def to_json(self) -> str:
        """The file's text: two spaces of indent, keys in the order given, a line end at the end.

        Raises:
            ValueError: A number is NaN or infinite, which JSON does not know.
            TypeError: A value has no JSON form.
        """
        text = json.dumps(
            asdict(self), indent=2, ensure_ascii=False, allow_nan=False, default=_plain
        )
        return text + "\n"


def build_result(
    task: str,
    *,
    config: Mapping[str, Any],
    seed: int,
    seconds: float,
    results: Mapping[str, Any],
    threads: int | None = None,
    gpu: str | None = None,
) -> EvalResult:
    """Put a result together with the versions and the hardware of this process.

    Args:
        task: Name of the evaluation.
        config: Its settings; `pathlib` paths in it are cut to their last part.
        seed: The seed used.
        seconds: How long it took.
        results: What was measured.
        threads: How many threads torch used.
        gpu: Name of the GPU used, None if none was.
    """
    return EvalResult(
        task=task,
        config=config,
        versions=package_versions(),
        hardware=hardware_facts(threads=threads, gpu=gpu),
        seed=seed,
        seconds=seconds,
        results=results,
    )


def write_result(path: str | os.PathLike[str], result: EvalResult) -> None:
    """Write a result file: afterwards the whole new file is there, or what was there before.

    Raises:
        OSError: The file cannot be written.
        ValueError: A number is NaN or infinite.
        TypeError: A value has no JSON form.
    """
    path, text = Path(path), result.to_json()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's files are the owner's alone; a result is for everyone.
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def hardware_facts(*, threads: int | None = None, gpu: str | None = None) -> dict[str, Any]:
    """What kind of machine this is.

    Args:
        threads: How many threads torch uses.
        gpu: Name of the GPU used.

    Returns:
        ``cpu`` (model name or None), ``cores`` (logical), ``memory_gib`` (None where the
        system does not tell), ``threads``, ``gpu``.
    """
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "threads": threads,
        "gpu": gpu,
    }


def _cpu_name() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:  # Not Linux.
        pass
    return platform.processor() or platform.machine() or None


def _memory_gib() -> float | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Not a POSIX system.
        return None
    return round(total / 2**30, 1)


def _plain(value: object) -> Any:
    """JSON form of what `json` does not know by itself."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a result file: {value!r}")
