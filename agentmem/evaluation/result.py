"""The result file that every evaluation command writes.

One JSON object: ``task``, ``config``, ``versions``, ``hardware``, ``seed``, ``seconds``,
``results``, in this order. It describes the kind of machine, not the individual one: paths are
reduced to their last component, and no host name is read.
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
    """A measurement, and what is needed to reproduce it.

    Attributes:
        task: Name of the evaluation, such as ``fidelity``.
        config: Its settings.
        versions: Version by package name.
        hardware: As `hardware_facts` gives it.
        seed: The seed of all random choices.
        seconds: Duration of the whole evaluation.
        results: The measurements; their form depends on the task.
    """

    task: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    seed: int
    seconds: float
    results: Mapping[str, Any]

    def to_json(self) -> str:
        """The file's text: indented by two spaces, keys in the order given, with a final newline.

        Raises:
            ValueError: A number is NaN or infinite, which JSON cannot represent.
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
    """Combine measurements with the versions and the hardware of this process.

    Args:
        task: Name of the evaluation.
        config: Its settings; `pathlib` paths in it are reduced to their last component.
        seed: The seed used.
        seconds: Its duration.
        results: The measurements.
        threads: Number of threads torch used.
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
    """Write a result file atomically: either all of the new file or the old one remains.

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
        os.chmod(name, 0o644)  # mkstemp makes files private to the owner; a result is for everyone
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def hardware_facts(*, threads: int | None = None, gpu: str | None = None) -> dict[str, Any]:
    """The kind of machine this is.

    Args:
        threads: Number of threads torch uses.
        gpu: Name of the GPU used.

    Returns:
        ``cpu`` (model name or None), ``cores`` (logical), ``memory_gib`` (None where the
        system does not report it), ``threads``, ``gpu``.
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
    """The JSON form of values that `json` cannot serialize by itself."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be stored in a result file: {value!r}")
