"""The number of chunks that is kept is that of the rows, whatever two processes do."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from agentmem_storage.records import Scope
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.sql.logs import changes
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

KEY = bytes(range(32))
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))]


class Walk:
    """Two open stores on the same files, and what is in them."""

    def __init__(self, folder: Path, key: bytes | None, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder, self.key = folder, key
        self.texts: dict[int, str] = {}
        self.stores = [self.opened(), self.opened()]
        self.added = 0

    def opened(self) -> Store:
        options = {} if self.key is None else {"key": self.key}
        return Store.open(
            self.folder, model=MODEL, embedding_dims=EMBEDDING_DIMS, timeout_s=5, **options
        )

    @property
    def one(self) -> Store:
        return self.random.choice(self.stores)

    def add(self) -> None:
        texts = [f"note {self.added + n}" for n in range(self.random.randrange(1, 9))]
        self.added += len(texts)
        scope = Scope(user_id=self.random.choice(["ana", "ben"]))
        for text, written in zip(
            texts, self.one.add([make_source(text) for text in texts], scope), strict=True
        ):
            self.texts |= dict.fromkeys(written.chunk_ids, text)

    def add_and_fail(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(changes, "append", _break)
            with pytest.raises(RuntimeError, match="power cut"):
                self.one.add([make_source("lost")], Scope(user_id="ana"))

    def forget(self) -> None:
        gone = [id for id in self.texts if self.random.random() < 0.3]
        self.one.forget([*gone, 999_999], {id: self.texts[id] for id in gone})
        self.texts = {id: text for id, text in self.texts.items() if id not in gone}

    def forget_unreadable(self) -> None:
        """Without its text: the lexical index keeps its words until it is rebuilt."""
        if self.texts:
            gone = self.random.choice(list(self.texts))
            del self.texts[gone]
            self.one.forget([gone], {})

    def replace(self) -> None:
        if self.texts:
            id = self.random.choice(list(self.texts))
            store = self.one
            (chunk,) = store.chunks([id])
            self.added += 1
            text = f"note {self.added} again"
            new = store.replace_source(chunk.source_id, make_source(text), {id: self.texts.pop(id)})
            self.texts |= dict.fromkeys(new.chunk_ids, text)

    def rebuild(self) -> None:
        readable = {id: text for id, text in self.texts.items() if self.random.random() < 0.9}
        self.one.rebuild_terms((id, readable.get(id)) for id in self.texts)
        self.texts = dict(self.texts)
        self.one.rebuild_terms(self.texts.items())

    def reopen(self) -> None:
        at = self.random.randrange(2)
        self.stores[at].close()
        self.stores[at] = self.opened()

    def check(self) -> None:
        for store in self.stores:
            assert store.snapshot(lambda one: (one.count(), len(one.ids()))) == (
                *(len(self.texts), len(self.texts)),
            )
            assert len(store.search_terms("note", 99).ids) == len(self.texts)


def _break(*_: object) -> None:
    raise RuntimeError("power cut")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_the_number_is_that_of_the_rows(tmp_path: Path, key: bytes | None, seed: int) -> None:
    walk = Walk(tmp_path / "s", key, seed)
    steps = (
        *(walk.add, walk.add, walk.add_and_fail, walk.forget, walk.forget_unreadable),
        *(walk.replace, walk.rebuild, walk.reopen),
    )
    for _ in range(20):
        walk.random.choice(steps)()
        walk.check()
    walk.rebuild()
    walk.stores = [*walk.stores, walk.opened()]
    walk.check()
    assert list(walk.stores[-1].check()) == []
    for store in walk.stores:
        store.close()


def test_reading_the_state_takes_the_same_with_any_number_of_chunks(tmp_path: Path) -> None:
    ran: list[tuple[str, tuple[object, ...]]] = []
    steps = []
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        event.listen(
            store._database._engine,
            "before_cursor_execute",
            lambda *given: ran.append((given[2], given[3])),
        )
        for count in (9, 300):
            store.add([make_source(f"note {count} {n}") for n in range(count)], Scope())
            ran.clear()
            store.snapshot(Snapshot.count)
            (state,) = [one for one in ran if "totals" in one[0]]
            steps.append(_steps(tmp_path / "s" / "memory.db", *state))
    assert steps[0] == steps[1]


def _steps(file: Path, statement: str, given: tuple[object, ...]) -> int:
    """How many steps SQLite takes to run a statement."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.set_progress_handler(count, 1)
        connection.execute(statement, given).fetchall()
    return taken
