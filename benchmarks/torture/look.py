"""Looks at a store after a death: what it holds, who gets to see it, and what its files hold."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentmem import Memory
from agentmem.errors import AgentMemError, IncompatibleModelError
from agentmem.models.bundle.load import ModelBundle
from benchmarks.torture.book import Book, Memo, Op, Tally
from benchmarks.torture.work import USERS, call, opened, other_model


def look(
    place: Path | str,
    models: Mapping[str, ModelBundle],
    model: str,
    key: bytes | None,
    book: Book,
    begun: Op | None,
    tally: Tally,
    chance: random.Random,
) -> str:
    """Open a store and compare it with a book; the name of the bundle that it has.

    What was being added is added again, as its user would, and is then there once. Only the files
    of a store in a folder are searched.
    """
    try:
        memory, model = _opened(place, models, model, key, begun)
    except AgentMemError as error:
        tally.damaged += 1
        tally.note(f"{error!r} after {begun}")
        return model
    try:
        with memory:
            # Opening does not wait for what purges a large store, and that outlives who was killed.
            memory.purge()
            book.compare(held(memory, tally), begun, tally)
            if begun is not None and begun.name == "add":
                book.done(begun, call(memory, begun))
                tally.duplicated += memory.count() - len(book.there)
            verified = memory.verify()
            if not verified.ok:
                tally.damaged += 1
                tally.note(f"{verified.damage} after {begun}")
            _recall(memory, book, tally, chance)
    except AgentMemError as error:
        tally.failed += 1
        tally.note(f"{error!r} after {begun}")
    places = [place] if isinstance(place, Path) else []
    search_files(places, book, tally, encrypted=key is not None)
    return model


def look_at_copies(
    place: Path,
    ops: Sequence[Op],
    begun: Op | None,
    model: ModelBundle,
    key: bytes | None,
    tally: Tally,
) -> None:
    """Look at backups and exported files of a store, and delete them.

    Those of calls that returned are there. One that has its name is complete, whoever died. The
    backup of an encrypted store gets the keys that the store has now.
    """
    for op in [*ops, *([begun] if begun else [])]:
        path = Path(op.path)
        if op.name == "backup":
            if (path / ("memory.db" if key is None else "encrypted.db")).exists():
                if key is not None:
                    shutil.copy(place / "keys.db", path)
                with opened(path, model, key) as memory:
                    _require_sound(memory, op, tally)
            elif op is not begun:
                tally.lost += 1
                tally.note(f"{op} is not there")
            shutil.rmtree(path, ignore_errors=True)
        elif op.name == "export":
            if path.exists():
                with Memory(":memory:", model=model) as memory:
                    memory.load(path)
                    _require_sound(memory, op, tally)
            elif op is not begun:
                tally.lost += 1
                tally.note(f"{op} is not there")
            for file in path.parent.glob(f"*{path.name}*"):
                file.unlink()


def _require_sound(memory: Memory, op: Op, tally: Tally) -> None:
    if not memory.verify().ok:
        tally.damaged += 1
        tally.note(f"what {op} has written is damaged")


def search_files(places: list[Path], book: Book, tally: Tally, *, encrypted: bool = False) -> None:
    """Search all files for what is gone, and those of an encrypted store for what is there too.

    Each memory counts once.
    """
    contents = [
        (file, file.read_bytes()) for place in places for file in place.rglob("*") if file.is_file()
    ]
    for memo in [*book.gone, *(book.there.values() if encrypted else ())]:
        files = [file.name for file, content in contents if memo.searched in content]
        if files:
            tally.left_behind += 1
            tally.note(f"{memo} is in {files}")
    book.gone = []


def _opened(
    place: Path | str,
    models: Mapping[str, ModelBundle],
    model: str,
    key: bytes | None,
    begun: Op | None,
) -> tuple[Memory, str]:
    """A store with the bundle that it has; it may have another one only after a migration."""
    try:
        return opened(place, models[model], key, create=True), model
    except IncompatibleModelError:
        if begun is None or begun.name != "migrate":
            raise
    model = other_model(model, models)
    return opened(place, models[model], key), model


def held(memory: Memory, tally: Tally) -> dict[int, Memo]:
    """What a store holds, by id."""
    found = {}
    for chunk in memory.list():
        user = str(chunk.scope.user_id)
        words = chunk.text.split(" ")
        memo = Memo(user, words[3], int(str(chunk.metadata["version"])))
        if memo.text != chunk.text:
            tally.lost += 1
            tally.note(f"{chunk.text!r} is not what was said")
        found[chunk.id] = memo
    return found


def _recall(memory: Memory, book: Book, tally: Tally, chance: random.Random) -> None:
    """One memory is found by its words by its user, and by nobody else."""
    if not book.there:
        return
    id = chance.choice(sorted(book.there))
    memo = book.there[id]
    for user in USERS:
        hits = memory.recall(memo.token, user_id=user, k=5, mode="lexical")
        tally.leaked += sum(hit.scope.user_id != user for hit in hits)
        tally.leaked += user != memo.user and any(memo.token in hit.text for hit in hits)
        if user == memo.user and id not in [hit.id for hit in hits]:
            tally.lost += 1
            tally.note(f"{memo} is not found by its words")
