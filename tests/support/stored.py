"""The fixture store: fixed inputs, and digests of the bytes that were stored for them.

``python tests/support/stored.py`` compares every byte on this machine, keys included; with
``--write`` it makes the fixture anew, which only a deliberate change of the format calls for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from agentmem import Document, Memory

FIXTURE = Path(__file__).parents[1] / "data" / "fixture-store"


def inputs() -> dict[str, Any]:
    """The inputs: contents to add, and queries."""
    read: dict[str, Any] = json.loads((FIXTURE / "inputs.json").read_text(encoding="utf-8"))
    return read


def expected() -> dict[str, Any]:
    """The stored rows and recall results from when the fixture was made."""
    read: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
    return read


def fill(folder: Path) -> None:
    """Add the inputs to a new store, each with the quantization that it names."""
    adds = inputs()["adds"]
    with ExitStack() as stack:
        memories = {
            name: stack.enter_context(Memory(folder, embedder="tiny", quantization=name))
            for name in sorted({add["quantization"] for add in adds})
        }
        for add in adds:
            content = Document(**add["document"]) if "document" in add else add["content"]
            memories[add["quantization"]].add(
                content,
                created_at=add["created_at"],
                metadata=add["metadata"],
                **add["scope"],
            )


def answers(folder: Path) -> list[list[Any]]:
    """Ids and scores of what each query finds; contradictions are found only in newer stores."""
    asked = inputs()
    with Memory(folder, create=False) as memory:
        return [
            [[hit.id, round(hit.score, 4)] for hit in memory.recall(**query)]
            for query in ({"now": asked["now"], "prefer": "any", **one} for one in asked["queries"])
        ]


def stored(database: Path) -> dict[str, Any]:
    """What a database holds, long values as digests; without times and ids of its own making."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(query: str) -> list[dict[str, Any]]:
            found = [dict(row) for row in connection.execute(query)]
            return [{name: _plain(value) for name, value in row.items()} for row in found]

        vocabulary = "CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, chunk_terms, instance)"
        connection.execute(vocabulary)
        return {
            "meta": rows("SELECT model, key_dims, terms_stale FROM meta"),
            "migrations": rows("SELECT * FROM migrations ORDER BY id"),
            "scopes": rows("SELECT * FROM scopes ORDER BY id"),
            "sources": rows(
                "SELECT id, scope_id, kind, role, name, title, uri, created_at, chars, "
                "content_hash, metadata FROM sources ORDER BY id"
            ),
            "chunks": rows("SELECT * FROM chunks ORDER BY id"),
            "changes": rows("SELECT seq, op, chunk_id FROM changes ORDER BY seq"),
            "terms": [
                {"chunk": id, "words": digest("\n".join(words).encode())}
                for id, words in _words(connection)
            ],
        }


def _words(connection: sqlite3.Connection) -> list[tuple[int, list[str]]]:
    """What the lexical index knows of each chunk: its words with their places."""
    by_chunk: dict[int, list[str]] = {}
    query = "SELECT doc, offset, term FROM temp.words ORDER BY doc, offset, term"
    for chunk, offset, term in connection.execute(query):
        by_chunk.setdefault(chunk, []).append(f"{offset} {term}")
    return sorted(by_chunk.items())


def digest(value: bytes) -> str:
    """The number of bytes, and twenty hex digits of their SHA-256."""
    return f"{len(value)}:{hashlib.sha256(value).hexdigest()[:20]}"


def _plain(value: Any) -> Any:
    return digest(value) if isinstance(value, bytes) else value


def main(write: bool) -> str | None:
    """Compare all of it, or write it; what is wrong, if anything is."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "store"
        fill(folder)
        found = {"answers": answers(folder), "stored": stored(folder / "memory.db")}
        if write:
            text = json.dumps(found, indent=1) + "\n"
            (FIXTURE / "expected.json").write_text(text, encoding="utf-8")
            with closing(sqlite3.connect(folder / "memory.db")) as connection:
                (FIXTURE / "memory.db").unlink(missing_ok=True)
                connection.execute("VACUUM INTO ?", (str(FIXTURE / "memory.db"),))
            return None
    return None if json.loads(json.dumps(found)) == expected() else "stored bytes differ"


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
