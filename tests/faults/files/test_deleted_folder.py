"""With its folder or file deleted, moved or replaced, a store acknowledged `add` into nowhere."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import StoreMovedError
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli


def delete_the_folder(place: Path, model: ModelBundle) -> None:
    shutil.rmtree(place)


def move_the_folder(place: Path, model: ModelBundle) -> None:
    place.rename(place.with_name("elsewhere"))


def delete_the_file(place: Path, model: ModelBundle) -> None:
    (place / "memory.db").unlink()


def delete_the_log(place: Path, model: ModelBundle) -> None:
    (place / "memory.db-wal").unlink()


def another_store_in_its_place(place: Path, model: ModelBundle) -> None:
    place.rename(place.with_name("elsewhere"))
    with Memory(place, model=model) as other:
        other.add("another store")


def a_copy_in_its_place(place: Path, model: ModelBundle) -> None:
    shutil.copy(place / "memory.db", place / "copy")
    (place / "copy").replace(place / "memory.db")


def an_empty_file_in_its_place(place: Path, model: ModelBundle) -> None:
    (place / "memory.db").unlink()
    (place / "memory.db").touch()


HAPPENINGS = [
    delete_the_folder,
    move_the_folder,
    delete_the_file,
    delete_the_log,
    another_store_in_its_place,
    a_copy_in_its_place,
    an_empty_file_in_its_place,
]


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("happens", HAPPENINGS, ids=lambda happens: happens.__name__)
def test_no_write_is_acknowledged(
    place: Path, model: ModelBundle, happens: Callable[[Path, ModelBundle], None]
) -> None:
    with Memory(place, model=model) as memory:
        (id,) = memory.add("first").ids
        happens(place, model)
        before = tree(place.parent)
        for write in (
            lambda: memory.add("lost"),
            lambda: memory.update(id, metadata={"a": 1}),
            lambda: memory.update(id, text="changed"),
            lambda: memory.forget([id]),
            lambda: memory.reindex(),
        ):
            with pytest.raises(StoreMovedError, match=r"(moved or deleted|was replaced) while"):
                write()
        if happens is not delete_the_log:
            for read in (lambda: memory.recall("first"), memory.stats, lambda: memory.get(id)):
                with pytest.raises(StoreMovedError):
                    read()
            # Nothing was created, and nobody else's file was rewritten.
            assert tree(place.parent) == before


def test_a_link_that_is_turned_elsewhere(tmp_path: Path, model: ModelBundle) -> None:
    for name in ("one", "two"):
        with Memory(tmp_path / name, model=model) as memory:
            memory.add(name)
    link = tmp_path / "current"
    link.symlink_to("one")
    with Memory(link, model=model) as memory:
        link.unlink()
        link.symlink_to("two")
        with pytest.raises(StoreMovedError, match="replaced"):
            memory.add("where?")
    with Memory(link, model=model) as memory:
        assert [chunk.text for chunk in memory.list()] == ["two"]


def test_a_url(tmp_path: Path, model: ModelBundle) -> None:
    with Memory(f"sqlite:///{tmp_path}/notes.db", model=model) as memory:
        memory.add("first")
        (tmp_path / "notes.db").rename(tmp_path / "moved.db")
        with pytest.raises(StoreMovedError, match=r"notes\.db"):
            memory.add("lost")


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add("first")
            shutil.rmtree(place)
            with pytest.raises(StoreMovedError):
                await memory.add("lost")

    asyncio.run(main())


def test_what_is_brought_back_works_again(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add("first")
        place.rename(place.with_name("elsewhere"))
        with pytest.raises(StoreMovedError):
            memory.add("second")
        place.with_name("elsewhere").rename(place)
        memory.add("third")
        assert [chunk.text for chunk in memory.list()] == ["first", "third"]


@pytest.mark.parametrize("location", ["notes", "sqlite:///notes.db"])
def test_the_working_directory_may_change(
    tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with Memory(location, model=model) as memory:
        memory.add("first")
        os.chdir("other")
        memory.add("second")
        assert memory.forget(before="2000-01-01").purged
    assert list((tmp_path / "other").iterdir()) == []
    os.chdir("..")
    with Memory(location, model=model, create=False) as memory:
        assert [chunk.text for chunk in memory.list()] == ["first", "second"]


def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"role": "user", "content": "first"}\n')
    cli.ok("add", "--file", lines)
    shutil.rmtree(cli.store)
    assert "no store" in cli.error(4, "recall", "first")
