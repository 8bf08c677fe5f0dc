"""Vector stores side by side: the rows, the exact results, a run with our own store, the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agentmem.errors import ConfigError
from agentmem.evaluation.result import build_result, write_result
from agentmem_storage.testing import make_source
from benchmarks.copies import Session
from benchmarks.report.tables import render
from benchmarks.vectorstores.exact import Asked, shares_found
from benchmarks.vectorstores.rows import Batch, Rows, prepare
from benchmarks.vectorstores.system import load_system
from benchmarks.vectorstores.worker import add, search

COUNT = 150


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Two users of 12 and 18 turns, again and again; each session has one turn twice."""
    sessions = []
    for user, turns in (("ana", 6), ("bob", 9)):
        for number in range(2):
            texts = [f"{user} said {turn} in {number}" for turn in range(turns)]
            sources = [make_source(text, metadata={"number": number}) for text in texts]
            sessions.append(Session(user, f"session {number}", (*sources, sources[0])))
    folder = tmp_path_factory.mktemp("rows")
    random = np.random.default_rng(0)
    queries = np.stack([make_source(f"query {n}").chunks[0].embedding for n in range(4)])
    return prepare(folder, sessions, queries, COUNT, random)


class Scan:
    """Keeps what it is given in a file, and misses what it is told to miss."""

    packages: ClassVar[tuple[str, ...]] = ("numpy",)

    def __init__(self, folder: Path, rows: Rows, *, missed: int = 0) -> None:
        self._file, self._missed = folder / "held.json", missed
        self._held: list[list[Any]] = []
        if self._file.exists():
            self._held = json.loads(self._file.read_text())

    def add(self, batch: Batch) -> None:
        for place, (number, vector) in enumerate(zip(batch.numbers, batch.vectors, strict=True)):
            self._held.append([batch.first + place, batch.user, number, vector.tolist()])

    def finish(self) -> None:
        self._file.write_text(json.dumps(self._held))

    def search(self, vector: Any, k: int, *, user: str | None, number: int | None) -> Sequence[int]:
        among = [
            one
            for one in self._held
            if (user is None or one[1] == user) and (number is None or one[2] == number)
        ]
        among.sort(key=lambda one: -float(np.dot(one[3], vector)))
        return [one[0] for one in among[self._missed : k]]

    def close(self) -> None:
        pass


def test_rows_are_copies_of_turns_with_embeddings_of_their_own(rows: Rows) -> None:
    assert (rows.count, len(rows.turns)) == (COUNT, 30)
    batches = list(rows.batches())
    assert [(one.first, len(one.vectors), one.user) for one in batches[:3]] == [
        (0, 12, "ana 000"),
        (12, 18, "bob 000"),
        (30, 12, "ana 001"),
    ]
    assert batches[0].numbers == (0,) * 6 + (1,) * 6
    vectors = np.concatenate([one.vectors for one in batches])
    assert vectors.shape == (COUNT, rows.dims)
    assert len(np.unique(vectors, axis=0)) == COUNT
    own = np.stack([turn.source.chunks[0].embedding for turn in rows.turns])
    assert np.abs(vectors[:30] - own).max() < 0.01


def test_shares_count_what_is_as_good_and_was_asked_for(rows: Rows) -> None:
    vectors, query = rows.vectors(0, 100), rows.queries[0]
    order = np.argsort(-(vectors @ query), kind="stable").tolist()
    number = [row for row in order if rows.turns[row % 30].number == 1]
    ana = [row for row in order if rows.user(row) == "ana 001"]
    asked = [Asked(query), Asked(query, number=1), Asked(query, user="ana 001")]

    def shares(*found: Sequence[int]) -> list[float]:
        return shares_found(rows, 100, asked, found, 10)

    assert shares(order[:10], number[:10], ana[:10]) == [1.0, 1.0, 1.0]
    # Twice the same is once; what was not asked for is nothing, however near it is.
    found = shares([*order[:5], *order[:5]], order[:10], [*ana[:9], order[0]])
    of_number = len(set(order[:10]).intersection(number[:10])) / 10
    assert found == [0.5, of_number, 0.9 + 0.1 * (order[0] == ana[9])]
    # A user of twelve rows has no more than these.
    assert shares_found(rows, 100, [asked[2]], [ana], 20) == [1.0]


@pytest.mark.parametrize(("missed", "expected"), [(0, 1.0), (3, 0.7)])
def test_a_store_is_measured(rows: Rows, tmp_path: Path, missed: int, expected: float) -> None:
    job = {
        "rows": str(rows._folder),
        "folder": str(tmp_path),
        "system": f"{__name__}:Scan",
        "options": {"missed": missed},
    }
    added = add({**job, "limit_s": None})
    assert added["memories"] == COUNT
    assert added["disk_bytes"] > 0
    assert list(added["versions"]) == ["numpy"]
    found = search({**job, "memories": COUNT, "k": 10, "number": 1})
    assert found["recall"] == pytest.approx({"all": expected, "user": expected, "number": expected})
    assert set(found["search_ms"]["all"]) == {"p50", "p95"}


def test_our_store_holds_the_same_rows(rows: Rows, tmp_path: Path) -> None:
    job = {
        "rows": str(rows._folder),
        "folder": str(tmp_path),
        "system": "benchmarks.vectorstores.ours:Ours",
        "options": {},
    }
    # Another batch begins only while there is time.
    assert add({**job, "limit_s": 0.0, "folder": str(tmp_path / "short")})["memories"] == 12
    assert add({**job, "limit_s": 60})["memories"] == COUNT
    found = search({**job, "memories": COUNT, "k": 10, "number": 1})
    assert found["recall"] == {"all": 1.0, "user": 1.0, "number": 1.0}


def test_a_store_that_there_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match="'Nothing'"):
        load_system("benchmarks.vectorstores.ours:Nothing")


def test_tables_say_who_wins_each_column(tmp_path: Path) -> None:
    def system(name: str, slow: float, note: str = "") -> dict[str, Any]:
        kinds = ("all", "user", "number")
        return {
            "name": name,
            "note": note,
            "error": None,
            "memories": 20_000,
            "add_s": {"wall": 15.0, "cpu": 9.0 * slow},
            "finish_s": {"wall": 5.0, "cpu": 1.0 * slow},
            "disk_bytes": 2e7 / slow,
            "resident_mb": 50.0,
            "open_s": {"wall": 0.5, "cpu": 0.2 * slow},
            "search_ms": {kind: {"p50": 4.0, "p95": 9.0} for kind in kinds},
            "search_cpu_ms": {kind: {"p50": 1.5 * slow, "p95": 2.5 * slow} for kind in kinds},
            "recall": dict.fromkeys(kinds, 0.99),
        }

    failed = {"name": "Absent", "note": "", "error": "No module named 'absent'"}
    part = {**system("Part", 0.2, "an hour was given"), "memories": 10_000}
    systems = [system("Quick", 1.0, "holds more"), system("Slow", 2.0), part, failed]
    results = {"load": 1.0, "k": 10, "systems": systems}
    made = build_result("vectorstores", config={}, seed=0, seconds=1.0, results=results)
    write_result(tmp_path / "vectorstores.json", made)
    text = render(tmp_path)["vectorstores"]
    assert (
        "| Quick | 20,000 | **2,000 (1,000)** | 1 s | 1,000 | **50 MB** | **0.2 (0.5) s** |" in text
    )
    assert "| Slow | 20,000 | 1,000 (1,000) | 2 s | **500** | **50 MB** | 0.4 (0.5) s |" in text
    assert "| Quick | **1.5 / 2.5 (4.0) ms** | **0.990** |" in text
    assert "| Part | 0.3 / 0.5 (4.0) ms | 0.990 |" in text
    assert "Part had 10,000 rows when its time was over, so it is not compared; an hour" in text
    assert "Quick: holds more." in text
    assert "Absent failed: `No module named 'absent'`" in text
