"""The files of an open encrypted store are moved, replaced or closed to it; the disk is full."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import StoreMovedError, StoreUnwritableError
from agentmem.models.bundle.load import ModelBundle
from tests.faults.files.test_deleted_folder import tree
from tests.memory.test_location import files_no_larger_than, open_to_all, unprivileged

KEY = bytes(range(32))
Unchanged = Callable[[Memory], AbstractContextManager[None]]
__all__ = ["open_to_all"]  # a fixture


@pytest.fixture
def memory(place: Path, model: ModelBundle) -> Iterator[Memory]:
    with Memory(place, model=model, key=KEY) as memory:
        yield memory


def delete_the_folder(place: Path, model: ModelBundle) -> None:
    shutil.rmtree(place)


def move_the_folder(place: Path, model: ModelBundle) -> None:
    place.rename(place.with_name("elsewhere"))


def delete_the_file(place: Path, model: ModelBundle) -> None:
    (place / "encrypted.db").unlink()


def another_store_in_its_place(place: Path, model: ModelBundle) -> None:
    place.rename(place.with_name("elsewhere"))
    with Memory(place, model=model, key=KEY) as other:
        other.add("another store")


def a_copy_in_its_place(place: Path, model: ModelBundle) -> None:
    shutil.copy(place / "encrypted.db", place / "copy")
    (place / "copy").replace(place / "encrypted.db")


def an_empty_file_in_its_place(place: Path, model: ModelBundle) -> None:
    (place / "encrypted.db").unlink()
    (place / "encrypted.db").touch()


@pytest.mark.parametrize(
    "happens",
    [
        delete_the_folder,
        move_the_folder,
        delete_the_file,
        another_store_in_its_place,
        a_copy_in_its_place,
        an_empty_file_in_its_place,
    ],
    ids=lambda happens: happens.__name__,
)
def test_no_write_is_acknowledged(
    memory: Memory,
    place: Path,
    model: ModelBundle,
    happens: Callable[[Path, ModelBundle], None],
) -> None:
    (id,) = memory.add("first").ids
    happens(place, model)
    before = tree(place.parent)
    for call in (
        lambda: memory.add("lost"),
        lambda: memory.update(id, metadata={"a": 1}),
        lambda: memory.update(id, text="changed"),
        lambda: memory.forget([id]),
        lambda: memory.reindex(),
        lambda: memory.change_key(bytes(32)),
        lambda: memory.recall("first"),
        lambda: memory.get(id),
        memory.stats,
    ):
        with pytest.raises(StoreMovedError, match=r"(moved or deleted|was replaced) while"):
            call()
    # Nothing was created, and nobody else's file was rewritten.
    assert tree(place.parent) == before


def test_what_is_brought_back_works_again(memory: Memory, place: Path) -> None:
    memory.add("first")
    place.rename(place.with_name("elsewhere"))
    with pytest.raises(StoreMovedError):
        memory.add("second")
    place.with_name("elsewhere").rename(place)
    memory.add("third")
    assert [chunk.text for chunk in memory.list()] == ["first", "third"]
    assert memory.verify().ok


def test_a_full_disk_loses_nothing(memory: Memory, place: Path, unchanged: Unchanged) -> None:
    memory.add([f"memory {n}" for n in range(50)], user_id="ana")
    size = max(path.stat().st_size for path in place.iterdir())
    with unchanged(memory):
        with (
            files_no_larger_than(size + 10_000),
            pytest.raises(StoreUnwritableError, match="nothing was written: check free space"),
        ):
            memory.add([f"too much {n} " * 30 for n in range(100)], user_id="ben")
    receipt = memory.add("there is room again", user_id="ben")
    assert memory.recall("there is room again")[0].id == receipt.ids[0]
    assert memory.verify().ok


@pytest.mark.parametrize("whole", [True, False], ids=["a scope", "one by one"])
def test_forget_shrinks_the_store_on_a_full_disk(memory: Memory, place: Path, whole: bool) -> None:
    memory.add([f"secret {n} " * 20 for n in range(100)], user_id="ana")
    memory.add("Ben stays", user_id="ben")
    file = place / "encrypted.db"
    size = file.stat().st_size
    # The journal has a copy of each page that is changed, and a little more.
    with files_no_larger_than(size + size // 20):
        done = memory.forget(user_id="ana") if whole else memory.forget(range(1, 90))
        assert done.purged
        assert file.stat().st_size < size * 3 / 4
        memory.add("there is room again", user_id="ben")
    assert memory.count() == (2 if whole else 13)
    assert memory.verify().ok


def test_one_that_may_not_be_written_is_read(open_to_all: Path, model: ModelBundle) -> None:
    place = open_to_all / "store"
    with Memory(place, model=model, key=KEY) as writer:
        writer.add(["first memory", "second memory"], user_id="ana")
        for path in (*place.rglob("*"), place):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = tree(place)
        with unprivileged(), Memory(place, model=model, key=KEY) as memory:
            assert [hit.id for hit in memory.recall("first memory")][0] == 1
            for verb in (
                lambda: memory.add("third", user_id="ana"),
                lambda: memory.add("third", user_id="somebody new"),
                lambda: memory.update(1, text="new"),
                lambda: memory.update(1, metadata={"a": 1}),
                lambda: memory.forget(user_id="ana"),
                lambda: memory.change_key(bytes(32)),
            ):
                with pytest.raises(StoreUnwritableError):
                    verb()
            assert memory.count() == 2
            assert tree(place) == before
            # What others write and forget is seen at once.
            if os.geteuid() != os.getuid():
                os.seteuid(os.getuid())
                (id,) = writer.add("third memory", user_id="ana").ids
                writer.forget([1])
                os.seteuid(65534)
                assert [chunk.id for chunk in memory.list()] == [2, id]
                assert memory.recall("third memory", mode="lexical", k=1)[0].id == id
            assert memory.verify().ok
