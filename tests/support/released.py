"""Stores and archives as releases wrote them, with what they hold: every later one reads them.

``python -m tests.support.released NAME`` writes those of the code as it stands:
``tests/data/released/NAME.db.gz``, ``NAME.amem`` and ``NAME.json``; see CONTRIBUTING.md. What is
written is never changed afterwards.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from agentmem import Document, Memory

RELEASED = Path(__file__).parents[1] / "data" / "released"
QUERIES = ("when is the train to Lyon?", "the storm at night")


def fill(folder: Path) -> None:
    """Add something of every kind, so that most tables have rows."""
    with Memory(folder, audit=True) as memory:
        talk = [
            {"role": "user", "name": "Ana", "content": "I booked the 9:40 train to Lyon 🚆."},
            {"role": "assistant", "content": "Noted: 9:40, Lyon."},
            {"role": "tool", "content": "21 °C, مشمس", "name": "weather", "tool_call_id": "c1"},
        ]
        metadata = {"n": 1, "f": 1.5, "s": "x", "b": True, "l": [1, None], "o": {"k": "v"}}
        ids = memory.add(
            talk, user_id="ana", session_id="s", created_at="2024-05-03", metadata=metadata
        ).ids
        memory.update(ids[1], text="Noted: 9:40 to Lyon, platform 12.")
        paris = memory.add("I live in Paris.", user_id="ana", created_at="2023-01-01").ids[0]
        memory.add("I moved to Rome.", user_id="ana", created_at="2024-01-01", supersedes=paris)
        memory.add("The door code is 7714.", user_id="bob", id="door", expires_at="9999-01-01")
        text = "It was a dark and stormy night; the rain fell in torrents. " * 30
        memory.add(Document(text, title="Storm", uri="book://1"), agent_id="reader")
        memory.forget(memory.add("This was forgotten.", user_id="ana").ids)
    with Memory(folder, keep_text=True) as memory:
        memory.add("Kept, word by word: ﬁn de siècle, \u202eabc, \x00.", user_id="bob")


def contents(memory: Memory) -> dict[str, Any]:
    """What a store holds, and what each query finds first."""
    return {
        "memories": [
            {**chunk.to_dict(), "external_id": chunk.source.external_id} for chunk in memory.list()
        ],
        "found": {query: memory.recall(query)[0].text for query in QUERIES},
        "audit": [
            [line.op, line.scope.user_id, list(line.ids)] for line in memory.dossier().audit or ()
        ],
        "histories": {
            chunk.text: [source.text for source in memory.history(chunk.id)]
            for chunk in memory.list(user_id="ana")
        },
    }


def names() -> list[str]:
    """All that there are, the oldest first."""
    return sorted(path.name.removesuffix(".json") for path in RELEASED.glob("*.json"))


def archive(name: str) -> Path:
    """The archive with the same memories."""
    return RELEASED / f"{name}.amem"


def unpack(name: str, folder: Path) -> Path:
    """Write one of them to a new folder."""
    folder.mkdir()
    content = gzip.decompress((RELEASED / f"{name}.db.gz").read_bytes())
    (folder / "memory.db").write_bytes(content)
    return folder


def expected(name: str) -> Any:
    """What one of them held when it was written."""
    return json.loads((RELEASED / f"{name}.json").read_text(encoding="utf-8"))


def write(name: str) -> None:
    """Write one of the code as it stands."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "store"
        fill(folder)
        with Memory(folder, create=False) as memory:
            held = contents(memory)
            exported = memory.export(Path(scratch) / "all.amem").path.read_bytes()
        with closing(sqlite3.connect(folder / "memory.db")) as connection:
            connection.execute("VACUUM")
        packed = gzip.compress((folder / "memory.db").read_bytes(), mtime=0)
    RELEASED.mkdir(exist_ok=True)
    (RELEASED / f"{name}.db.gz").write_bytes(packed)
    (RELEASED / f"{name}.amem").write_bytes(exported)
    text = json.dumps(held, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (RELEASED / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
