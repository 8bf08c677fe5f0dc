"""Files in a store's folder that are links, pipes or devices: refused at once, never followed."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import InputError, KeyRingError, ModelError, NotAStoreError
from agentmem.models.bundle.find import find_bundle
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import MANIFEST, open_manifest
from agentmem_storage.increments import INCREMENT_NAME, complete_backup

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")

PLAIN = ("memory.db", "memory.db-wal", "memory.db-shm", "memory.db-journal", "memory.db-mark")
ENCRYPTED = ("encrypted.db", "encrypted.db-journal", "keys.db", "keys.db-journal")


@pytest.fixture(scope="module")
def key() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle, key: bytes) -> Path:
    """A folder with a store, and one with an encrypted one."""
    folder = tmp_path_factory.mktemp("stores")
    for name, of in (("plain", None), ("encrypted", key)):
        with Memory(folder / name, model=model, key=of) as memory:
            memory.add("Tea for two.")
            memory.recall("tea")
    return folder


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", [*PLAIN, *ENCRYPTED])
def test_files_that_are_none_are_refused_at_once(
    stores: Path, tmp_path: Path, model: ModelBundle, key: bytes, name: str, kind: str
) -> None:
    place = tmp_path / "store"
    shutil.copytree(stores / ("plain" if name in PLAIN else "encrypted"), place)
    precious = tmp_path / "precious"
    shutil.copyfile(place / name, precious) if (place / name).exists() else precious.touch()
    before = precious.read_bytes()
    (place / name).unlink(missing_ok=True)
    if kind == "link":
        (place / name).symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(place / name)
    else:
        (place / name).mkdir()
    locations: list[Path | str] = [place]
    if name in PLAIN:
        locations.append(f"sqlite:///{place / 'memory.db'}")
    for location in locations:
        with pytest.raises(NotAStoreError):
            Memory(location, model=model, key=key if name in ENCRYPTED else None)
    assert precious.read_bytes() == before


def test_a_folder_that_is_linked_is_opened(
    stores: Path, tmp_path: Path, model: ModelBundle
) -> None:
    shutil.copytree(stores / "plain", tmp_path / "store")
    (tmp_path / "link").symlink_to("store")
    with Memory(tmp_path / "link", model=model) as memory:
        memory.add("Jam.")
        assert memory.count() == 2


def test_a_cache_that_is_a_pipe_is_made_again(
    stores: Path, tmp_path: Path, model: ModelBundle
) -> None:
    shutil.copytree(stores / "plain", tmp_path / "store")
    (cache,) = (tmp_path / "store" / "index").iterdir()
    cache.unlink()
    os.mkfifo(cache)
    with Memory(tmp_path / "store", model=model) as memory:
        assert memory.recall("tea")[0].text == "Tea for two."
    assert cache.is_file()


def test_an_increment_that_is_a_pipe_is_none(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    os.mkfifo(tmp_path / "backup" / INCREMENT_NAME)
    with pytest.raises(InputError, match="not as `backup` has made it"):
        complete_backup(tmp_path / "backup", tmp_path / "again")


def test_a_bundle_whose_manifest_is_a_pipe_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pipe", "large"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / MANIFEST)
    with (tmp_path / "large" / MANIFEST).open("wb") as file:
        file.truncate(10**12)  # a sparse file
    with pytest.raises(ModelError, match="not a file"):
        open_manifest(tmp_path / "pipe")
    with pytest.raises(ModelError, match="too many"):
        open_manifest(tmp_path / "large")
    # Neither keeps a store from being opened whose bundle is looked for.
    monkeypatch.setenv("AGENTMEM_BUNDLES", str(tmp_path))
    assert find_bundle("0" * 16) is None


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE TRIGGER spy AFTER UPDATE ON keys BEGIN DELETE FROM keys; END",
        "CREATE VIEW spy AS SELECT * FROM keys",
    ],
)
def test_a_key_ring_with_a_trigger_or_a_view_is_refused(
    stores: Path, tmp_path: Path, model: ModelBundle, key: bytes, foreign: str
) -> None:
    place = tmp_path / "store"
    shutil.copytree(stores / "encrypted", place)
    with closing(sqlite3.connect(place / "keys.db")) as ring, ring:
        ring.execute(foreign)
    with pytest.raises(KeyRingError, match="it has a trigger or a view"):
        Memory(place, model=model, key=key)
    with closing(sqlite3.connect(place / "keys.db")) as ring, ring:
        ring.execute(f"DROP {foreign.split()[1]} spy")
    with Memory(place, model=model, key=key) as memory:
        assert memory.count() == 1
