"""Everybody on the machine could read a store, and links in its folder were followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    files = [folder, *folder.rglob("*")]
    return {
        file.relative_to(folder.parent).as_posix(): stat.S_IMODE(file.stat().st_mode)
        for file in files
    }


@pytest.mark.usefixtures("umask")
def test_only_the_owner_can_read_a_store(tmp_path: Path, model: ModelBundle) -> None:
    with Memory(tmp_path / "store", model=model) as memory:
        memory.add(["first", "second"])
        memory.recall("first")
        memory.reindex()
        memory.forget([1])
        memory.backup(tmp_path / "copy")
        for folder in ("store", "copy"):
            found = modes(tmp_path / folder)
            assert f"{folder}/memory.db" in found
            for name, mode in found.items():
                private = 0o700 if (tmp_path / name).is_dir() else 0o600
                assert oct(mode) == oct(private), name
        assert {"store/memory.db-wal", "store/index/keys.cache"} <= set(modes(tmp_path / "store"))


@pytest.mark.usefixtures("umask")
def test_a_url(tmp_path: Path, model: ModelBundle) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    with Memory(f"sqlite:///{tmp_path}/shared/notes.db", model=model) as memory:
        memory.add("first")
        memory.reindex()
        found = modes(tmp_path / "shared")
    assert oct(found.pop("shared")) == oct(0o755)  # it was there before
    assert oct(found.pop("shared/notes.db-index")) == oct(0o700)
    assert {oct(mode) for mode in found.values()} == {oct(0o600)}


@pytest.mark.usefixtures("umask")
def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "first")
    assert oct(modes(cli.store)["store"]) == oct(0o700)
    assert oct(modes(cli.store)["store/memory.db"]) == oct(0o600)


def test_an_existing_folder_keeps_its_mode(tmp_path: Path, model: ModelBundle) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o750)
    with Memory(tmp_path / "store", model=model) as memory:
        memory.add("first")
        assert oct(modes(tmp_path / "store")["store"]) == oct(0o750)
        assert oct(modes(tmp_path / "store")["store/memory.db"]) == oct(0o600)


def test_a_linked_cache_is_not_read_or_written(tmp_path: Path, model: ModelBundle) -> None:
    store, victim = tmp_path / "store", tmp_path / "victim"
    with Memory(store, model=model) as memory:
        memory.add("first")
        memory.reindex()
    cache = store / "index" / "keys.cache"
    victim.write_bytes(cache.read_bytes())
    cache.unlink()
    cache.symlink_to(victim)
    before = victim.read_bytes()
    with Memory(store, model=model) as memory:
        memory.add("second")
        assert memory.recall("second")[0].text == "second"
        memory.reindex()
        memory.forget([1])
    assert victim.read_bytes() == before
    assert not cache.is_symlink()


def test_a_linked_folder_is_left_alone(tmp_path: Path, model: ModelBundle) -> None:
    store, victim = tmp_path / "store", tmp_path / "victim"
    with Memory(store, model=model) as memory:
        memory.add("first")
    victim.mkdir()
    (victim / "keys.cache").write_text("mine")
    (victim / "keys.cache.1.tmp").write_text("mine")
    for file in (store / "index").glob("*"):
        file.unlink()
    if (store / "index").exists():
        (store / "index").rmdir()
    (store / "index").symlink_to(victim)
    with Memory(store, model=model) as memory:
        memory.add("second")
        assert memory.recall("second")[0].text == "second"
        memory.reindex()
        assert memory.forget([1]).purged
        assert memory.stats().file_bytes > 0
    assert {file.name: file.read_text() for file in victim.iterdir()} == {
        "keys.cache": "mine",
        "keys.cache.1.tmp": "mine",
    }
