"""What is done to a store: calls drawn from a seed, and a process that makes them and says so."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from benchmarks.torture.book import TOKEN_CHARS, Book, Memo, Op
from benchmarks.torture.killable import Say

USERS = ("ana", "bob", "eve")
KINDS = ("add", "update", "forget", "reindex", "migrate", "export", "backup", "index", "create")
TIMEOUT_S = 600.0  # machines may be busy
# How many of the stores are encrypted, and with what.
ENCRYPTED = 0.25
_KEY = bytes(range(32))
_TIME = "2024-05-03T12:00:00Z"
# A store of more is made smaller: what is looked at is what happens to it, and not its size.
_MOST = 30
_MOST_CALLS = 300


def draw_key(chance: random.Random, encrypted: float) -> bytes | None:
    """The key of a new store; None: it is not encrypted.

    Args:
        chance: Decides.
        encrypted: The share of encrypted stores, 0 to 1.
    """
    return _KEY if chance.random() < encrypted else None


def opened(
    place: Path | str, model: ModelBundle, key: bytes | None, *, create: bool = False
) -> Memory:
    """A store; texts are kept, so that files have bytes that can be searched for."""
    return Memory(place, model=model, key=key, keep_text=True, create=create, timeout_s=TIMEOUT_S)


def memo(chance: random.Random, user: str | None = None) -> Memo:
    """A memory that there is no other like."""
    token = f"{chance.getrandbits(4 * TOKEN_CHARS):0{TOKEN_CHARS}x}"
    return Memo(user or chance.choice(USERS), token)


def draw(kind: str, book: Book, chance: random.Random, scratch: Path) -> Op:
    """A call of a kind that fits what is there."""
    ids = sorted(book.there)
    if kind == "update":
        id = chance.choice(ids)
        old = book.there[id]
        new = old._replace(version=old.version + 1)
        return Op("update", (memo(chance, old.user) if chance.random() < 0.7 else new,), (id,))
    if kind == "forget":
        if chance.random() < 0.2:
            user = chance.choice(USERS)
            return Op("forget", ids=tuple(id for id in ids if book.there[id].user == user))
        return Op(
            "forget", ids=tuple(sorted(chance.sample(ids, min(len(ids), chance.randint(1, 4)))))
        )
    if kind in ("export", "backup"):
        return Op(kind, path=str(scratch / f"{kind}-{chance.getrandbits(64):x}"))
    if kind in ("add", "create"):
        user = chance.choice(USERS)
        return Op("add", tuple(memo(chance, user) for _ in range(chance.randint(1, 6))))
    return Op(kind)


def draw_round(kind: str, book: Book, chance: random.Random, scratch: Path) -> list[Op]:
    """The calls of one process: one of a kind, and before it some that are needed for it."""
    ops = []
    if len(book.there) > _MOST:
        ids = sorted(book.there)
        ops.append(Op("forget", ids=tuple(chance.sample(ids, len(ids) - _MOST // 2))))
    elif len(book.there) < 8 or chance.random() < 0.3:
        ops.append(draw("add", book, chance, scratch))
    taken = {id for op in ops for id in op.ids}
    rest = Book()
    rest.there = {id: one for id, one in book.there.items() if id not in taken}
    if kind in ("update", "forget") and not rest.there:
        kind = "add"
    return [*ops, draw(kind, rest, chance, scratch)]


def draw_call(chance: random.Random) -> int:
    """The number of the file call at which a process ends; an `add` makes some 30, others 300."""
    if chance.random() < 0.5:
        return chance.randint(1, _MOST_CALLS)
    return int(_MOST_CALLS ** chance.random())


def endless(seed: str) -> Iterator[Op]:
    """What a process goes on with until it dies; the same for whoever has the seed."""
    chance = random.Random(seed)
    while True:
        user = chance.choice(USERS)
        yield Op("add", tuple(memo(chance, user) for _ in range(2)))


class Process:
    """What a process does with a store, one call after the other.

    Args:
        place: The store.
        models: The bundles, by name.
        model: The name of the one that the store has.
        key: The key of the store; None: it is not encrypted.
        say: Called before each call is made, and with what it returned.
    """

    def __init__(
        self,
        place: Path | str,
        models: Mapping[str, ModelBundle],
        model: str,
        key: bytes | None,
        say: Say,
    ) -> None:
        self._place = place
        self._key = key
        self._models = models
        self._model = model
        self._say = say

    def run(self, ops: Iterable[Op]) -> None:
        """Make calls until they end, or the process does."""
        memory = self._opened(create=True)
        for op in ops:
            self._say("begun", [])
            if op.name == "migrate":
                memory.close()
                memory = self._migrated()
                self._say("done", [])
            elif op.name == "index":
                # The next search builds it, and closing writes it.
                shutil.rmtree(Path(self._place) / "index", ignore_errors=True)
                memory.recall("room", k=3, mode="vector", user_id=USERS[0])
                memory.close()
                memory = self._opened()
                self._say("done", [])
            else:
                self._say("done", call(memory, op))

    def _opened(self, *, create: bool = False) -> Memory:
        return opened(self._place, self._models[self._model], self._key, create=create)

    def _migrated(self) -> Memory:
        old = self._models[self._model]
        self._model = other_model(self._model, self._models)
        Memory.migrate(
            self._place,
            model=self._models[self._model],
            from_model=old,
            key=self._key,
            timeout_s=TIMEOUT_S,
        )
        return self._opened()


def other_model(name: str, models: Mapping[str, ModelBundle]) -> str:
    """The other one of two."""
    (other,) = models.keys() - {name}
    return other


def call(memory: Memory, op: Op) -> list[int]:
    """Make a call; the ids of what it added, or put in the place of something."""
    if op.name == "add":
        return list(memory.add([message(one) for one in op.new], user_id=op.new[0].user).ids)
    if op.name == "update":
        (new,) = op.new
        if new.version:
            return list(memory.update(op.ids[0], metadata={"version": new.version}).ids)
        return list(memory.update(op.ids[0], text=new.text, metadata={"version": 0}).ids)
    if op.name == "forget":
        memory.forget(op.ids)
    elif op.name == "reindex":
        memory.reindex()
    elif op.name == "export":
        memory.export(op.path)
    else:
        assert op.name == "backup"
        memory.backup(op.path)
    return []


def message(one: Memo) -> dict[str, object]:
    """A message, with a time of its own: added again, it is the same."""
    return {
        "role": "user",
        "content": one.text,
        "created_at": _TIME,
        "metadata": {"version": one.version},
    }
