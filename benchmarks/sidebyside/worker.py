"""Measures one system, in a process of its own so that its memory use and failures stay isolated.

::

    python -m benchmarks.sidebyside.worker job.json measured.json

The job names the file of conversations, the limits, the system and the folder it may write to.
Progress goes to standard output, a JSON list of steps done and of all per line. Nothing here
imports torch, so that a system without it is not charged for it.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import RECALL_AT
from benchmarks.sidebyside.data import Numbered, numbered
from benchmarks.sidebyside.system import System, load_system

# The depth that is scored.
_K = max(RECALL_AT)
# Searches before the clock starts: the first ones load indexes and warm caches.
_WARM_UP = 3


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Add all turns, then ask each question three times.

    First inside its conversation, on the clock; then for the whole ranking of that conversation;
    then over all conversations. A system may keep the encoding of a question for the later ones.

    Args:
        job: ``data``, ``conversations``, ``questions``, ``system``, ``options``, ``folder``.

    Returns:
        ``add_seconds``; ``recall_seconds``, ``inside``, ``whole`` and ``pooled``, each by
        question; ``disk_bytes``, ``peak_memory_bytes``, ``as_vectors``, ``versions``.
    """
    limits = {name: job[name] for name in ("conversations", "questions")}
    data = numbered(read_conversations(job["data"]), **limits)
    folder = Path(job["folder"])
    kind: Any = load_system(job["system"])
    system: System = kind(folder, **job["options"])
    try:
        measured = {"add_seconds": _add(system, data), **_ask(system, data)}
    finally:
        system.close()
    return {
        **measured,
        "disk_bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "peak_memory_bytes": peak_memory_bytes(),
        "as_vectors": kind.as_vectors,
        "versions": {name: version(name) for name in kind.packages},
    }


def peak_memory_bytes() -> int:
    """Peak resident set size of this process."""
    try:
        # A process inherits ru_maxrss from the one that started it; VmHWM is its own.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:  # Not Linux.
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def _add(system: System, data: Numbered) -> float:
    seconds = 0.0
    for done, (conversation, turns) in enumerate(data.turns.items()):
        _tell(done, len(data.turns) + len(data.questions))
        started = time.perf_counter()
        system.add(conversation, turns)
        seconds += time.perf_counter() - started
    return seconds


def _ask(system: System, data: Numbered) -> dict[str, Any]:
    for question in data.questions[:_WARM_UP]:
        # Different text, so that a cached query encoding does not help the timed searches.
        system.search(question.question + "?", _K, conversation=question.conversation)
    seconds, inside, whole, pooled = [], [], [], []
    for done, question in enumerate(data.questions, start=len(data.turns)):
        _tell(done, len(data.turns) + len(data.questions))
        home = question.conversation
        started = time.perf_counter()
        inside.append(system.search(question.question, _K, conversation=home))
        seconds.append(time.perf_counter() - started)
        whole.append(system.search(question.question, len(data.turns[home]), conversation=home))
        pooled.append(system.search(question.question, _K, conversation=None))
    return {"recall_seconds": seconds, "inside": inside, "whole": whole, "pooled": pooled}


def _tell(done: int, total: int) -> None:
    sys.stdout.write(f"{json.dumps([done, total])}\n")
    sys.stdout.flush()


def main(job: str, measured: str) -> None:
    """Read the job, and write the measurements."""
    request = json.loads(Path(job).read_text(encoding="utf-8"))
    Path(measured).write_text(json.dumps(measure(request)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
