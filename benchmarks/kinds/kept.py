"""Filled stores and baselines' rankings, kept from run to run.

Adding and encoding take most of a run, and neither changes while constants of recall are chosen. A
store is taken again if the same memories were added to it by the same models; who changes what
`Memory.add` does empties the folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from agentmem.memory import Memory
from agentmem.models.bundle.load import load_bundle
from benchmarks.kinds.baselines import baseline_rankings
from benchmarks.kinds.collection import Kind, questions_of
from benchmarks.kinds.ours import Indices, add

# Positions of a ranking that are kept: more than are scored.
_DEPTH = 50


@contextmanager
def filled(kind: Kind, work: Path | None) -> Iterator[tuple[Memory, dict[str, Indices]]]:
    """A store that holds a kind, and which items each source is.

    Args:
        kind: What it holds.
        work: Where stores are kept; None keeps nothing.
    """
    if work is None:
        with tempfile.TemporaryDirectory() as scratch, Memory(scratch) as memory:
            yield memory, add(memory, kind)
        return
    folder = work / f"{kind.name}-{_digest(kind, load_bundle().fingerprint)}"
    file = folder / "places.json"
    if not file.exists():
        shutil.rmtree(folder, ignore_errors=True)
    with Memory(folder / "store") as memory:
        if not file.exists():
            file.write_text(json.dumps(add(memory, kind)), encoding="utf-8")
        read = json.loads(file.read_text(encoding="utf-8"))
        yield (
            memory,
            {
                user: {int(source): found for source, found in of.items()}
                for user, of in read.items()
            },
        )


def baselines(kind: Kind, names: Sequence[str], work: Path | None) -> dict[str, list[list[int]]]:
    """The rankings of baselines, to a depth of 50.

    Args:
        kind: What is added and asked.
        names: Some of `benchmarks.kinds.baselines.BASELINES`.
        work: Where they are kept; None keeps nothing.
    """
    asked = [question.text for _, question in questions_of(kind)]
    kept = None if work is None else work / f"{kind.name}-{_digest(kind, asked)}-baselines.json"
    found: dict[str, list[list[int]]] = {}
    if kept is not None and kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
    missing = [name for name in names if name not in found]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            made = baseline_rankings(kind, missing, Path(folder))
        found |= {name: [ranked[:_DEPTH] for ranked in of] for name, of in made.items()}
        if kept is not None:
            kept.write_text(json.dumps(found), encoding="utf-8")
    return {name: found[name] for name in names}


def _digest(kind: Kind, more: object) -> str:
    items = [(one.id, [str(item) for item in one.items]) for one in kind.collections]
    return sha256(json.dumps([kind.adding, items, more]).encode()).hexdigest()[:16]
