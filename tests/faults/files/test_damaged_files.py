"""Damaged files: every verb gives what is intact or an error of ours, and no user's text in it."""

from __future__ import annotations

import random
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory
from agentmem.errors import AgentMemError, StoreError
from agentmem.models.bundle.load import ModelBundle

SECRET = "Geheimnis"
FILLED = {"name": "Ana", "role": "user", "metadata": {"n": 500}}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Path:
    """A closed store of several pages, whose texts hold a word that no error may repeat."""
    place = tmp_path_factory.mktemp("damaged") / "sound"
    with Memory(place, model=model) as memory:
        memory.add([FILLED | {"content": f"{SECRET} {n} of Ana"} for n in range(20)], user_id="ana")
        memory.add(Document(f"A long {SECRET}. " * 60, title=SECRET, uri="u:1"), user_id="ben")
    return place


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "store")
    return tmp_path / "store"


VERBS: dict[str, Callable[[Memory], object]] = {
    "recall": lambda memory: [hit.text for hit in memory.recall("Ana", k=3)],
    "neighbors": lambda memory: memory.recall("Ana", k=3, expand="neighbors").pack(max_tokens=99),
    "where": lambda memory: memory.recall("Ana", where={"n": {"gt": 3}}),
    "list": lambda memory: [chunk.to_dict() for chunk in memory.list()],
    "get": lambda memory: memory.get(1).text,
    "stats": lambda memory: memory.stats().to_dict(),
    "add": lambda memory: memory.add("Ana again", user_id="ana"),
    "update": lambda memory: memory.update(2, metadata={"n": 1}),
    "reword": lambda memory: memory.update(1, text="Ana anew"),
    "reindex": lambda memory: memory.reindex(),
    "forget": lambda memory: memory.forget([1]),
}


def outcomes(place: Path, model: ModelBundle, verbs: list[str]) -> Iterator[str]:
    """What each verb says; nothing but errors of agentmem, without the texts."""
    try:
        memory = Memory(place, model=model)
    except AgentMemError as error:
        yield checked(error)
        return
    with memory:
        yield "" if memory.verify().ok else "verify finds it"
        for verb in verbs:
            try:
                VERBS[verb](memory)
            except AgentMemError as error:
                yield checked(error)


def checked(error: AgentMemError) -> str:
    """The message; the text is in none of the chain, as a log would show it."""
    shown = "".join(traceback.format_exception_only(error))
    cause: BaseException | None = error
    while cause is not None:
        shown += str(cause)
        cause = cause.__cause__ or cause.__context__
    assert SECRET not in shown, shown
    return str(error)


def alter(place: Path, statement: str, *values: Any) -> bool:
    with closing(sqlite3.connect(place / "memory.db")) as raw, raw:
        try:
            return raw.execute(statement, values).rowcount > 0
        except sqlite3.IntegrityError:
            return False


COLUMNS = [
    *(f"sources.{name}" for name in ("kind", "role", "created_at", "metadata", "content_hash")),
    *(f"chunks.{name}" for name in ("source_id", "ordinal", "tokens", "key", "latents")),
    *("meta.key_dims", "scopes.user_id", "changes.op"),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_value_of_a_wrong_type(place: Path, model: ModelBundle, column: str) -> None:
    table, _, name = column.partition(".")
    wrong = f"{SECRET}\udcff".encode("utf-8", "surrogateescape")
    for value in (10**12, SECRET if column == "sources.kind" else wrong):
        copy = place.with_name("copy")
        shutil.copytree(place, copy)
        statement = f'UPDATE {table} SET "{name}" = ? WHERE rowid = 1'
        if isinstance(value, bytes):  # as text that is not UTF-8
            statement = statement.replace("?", "CAST(? AS TEXT)")
        if alter(copy, statement, value):
            said = list(outcomes(copy, model, list(VERBS)))
            assert any(said), (column, value)
        shutil.rmtree(copy)


def test_a_damaged_row_does_not_hide_the_others(place: Path, model: ModelBundle) -> None:
    assert alter(place, "UPDATE sources SET name = CAST(x'FF' AS TEXT) WHERE id = 3")
    assert alter(place, "UPDATE chunks SET tokens = 'x' WHERE id = 5")
    with Memory(place, model=model) as memory:
        found = {damage.id for damage in memory.verify().damage}
        assert found == {3, 5}
        texts = {hit.id for hit in memory.recall("Ana", k=20, user_id="ana")}
        assert texts == set(range(1, 21))
        memory.forget([3, 5])
        assert memory.verify().ok


@pytest.mark.parametrize("table", ["meta", "scopes", "sources", "changes", "migrations"])
def test_rows_and_tables_that_are_missing(place: Path, model: ModelBundle, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"DROP TABLE {table}"):
        copy = place.with_name("copy")
        shutil.copytree(place, copy)
        alter(copy, statement)
        said = list(outcomes(copy, model, ["recall", "list", "add", "forget"]))
        assert any(said) or table == "changes"
        shutil.rmtree(copy)


def test_bytes_and_pages_that_are_damaged(place: Path, model: ModelBundle) -> None:
    draw = random.Random(227)
    whole = (place / "memory.db").read_bytes()
    for number in range(9):
        data = bytearray(whole)
        if number % 3 == 0:
            for _ in range(20):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif number % 3 == 1:
            at = draw.randrange(len(data) - 512)
            data[at : at + 512] = draw.randbytes(512)
        else:
            del data[draw.randrange(100, len(data)) :]
        copy = place.with_name("copy")
        copy.mkdir()
        (copy / "memory.db").write_bytes(data)
        list(outcomes(copy, model, ["recall", "list", "get", "add", "forget"]))
        shutil.rmtree(copy)


def test_a_content_hash_of_another_text_is_found(place: Path, model: ModelBundle) -> None:
    """All checksums hold, as after a mistake of a program that can compute them."""
    from agentmem_storage.sql.schema import sums

    with Memory(place, model=model) as memory:
        with memory._store._database.write() as connection:
            connection.exec_driver_sql("UPDATE sources SET content_hash = x'00' WHERE id = 4")
            sums.write_all(connection)
        (damage,) = memory.verify().damage
        assert (damage.id, damage.what) == (
            4,
            "the content hash of source 4 does not match its text",
        )


def test_a_store_that_is_no_database_says_so(place: Path, model: ModelBundle) -> None:
    (place / "memory.db").write_bytes(SECRET.encode() * 1000)
    with pytest.raises(StoreError) as caught:
        Memory(place, model=model)
    checked(caught.value)
