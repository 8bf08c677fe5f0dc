"""Increments: what is put together again is the backup, or an error that says why not."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentmem_storage.errors import ArchiveError, InputError, StoreNotFoundError
from agentmem_storage.increments import INCREMENT_NAME, complete_backup, make_increment
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

Make = Callable[[str, bytes], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A folder as of a backup, with some content."""

    def write(name: str, content: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "memory.db").write_bytes(content)
        return folder

    return write


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_chain_of_backups_is_put_together(tmp_path: Path) -> None:
    whole: dict[str, dict[str, bytes]] = {}
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        for number in range(4):
            added = store.add(
                [make_source(f"memory {number} {n} " * 9) for n in range(30)], Scope()
            )
            if number == 2:
                ids = [id for one in added[:20] for id in one.chunk_ids]
                store.forget(ids, {id: "x" for id in ids})
            name = f"b{number}"
            store.backup(tmp_path / name)
            whole[name] = contents(tmp_path / name)
    for number in (1, 2, 3):
        made = make_increment(tmp_path / f"b{number}", tmp_path / f"b{number - 1}")
        assert made.full_bytes == len(whole[f"b{number}"]["memory.db"])
        assert made.file_bytes < made.full_bytes
        assert os.listdir(made.folder) == [INCREMENT_NAME]
        assert (made.folder / INCREMENT_NAME).stat().st_mode & 0o777 == 0o600
    for name, content in whole.items():
        complete_backup(tmp_path / name, tmp_path / f"{name}-again")
        assert contents(tmp_path / f"{name}-again") == content
    # Nothing but these is left anywhere.
    made_here = {"s", *whole, *(f"{name}-again" for name in whole)}
    assert set(os.listdir(tmp_path)) == made_here


@pytest.mark.parametrize("seed", range(20))
def test_any_two_contents(make: Make, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    old = bytearray(draw.randbytes(draw.choice((0, 1, 4096, 10_000, 40_960))))
    new = bytearray(old)
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(new) + 1)
        new[at : at + 5] = draw.randbytes(draw.choice((0, 5, 5000)))
    one, two = make("one", bytes(old)), make("two", bytes(new))
    (two / "keys.db").write_bytes(b"keys")
    make_increment(two, one)
    complete_backup(two, tmp_path / "again")
    assert contents(tmp_path / "again") == {"memory.db": bytes(new), "keys.db": b"keys"}


def test_a_changed_or_missing_base_is_named(make: Make, tmp_path: Path) -> None:
    one, two = make("one", b"a" * 9000), make("two", b"b" * 9000)
    make_increment(two, one)
    (one / "memory.db").write_bytes(b"c" * 9000)
    with pytest.raises(ArchiveError, match="of its base is another one"):
        complete_backup(two, tmp_path / "again")
    shutil.rmtree(one)
    with pytest.raises(StoreNotFoundError, match="is the base of"):
        complete_backup(two, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_damage_is_found(make: Make, tmp_path: Path) -> None:
    one, two = make("one", bytes(20_000)), make("two", random.Random(0).randbytes(20_000))
    make_increment(two, one)
    whole = (two / INCREMENT_NAME).read_bytes()
    draw = random.Random(1)
    for number in range(60):
        content = bytearray(whole)
        if number % 3:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            del content[draw.randrange(len(content)) :]
        (two / INCREMENT_NAME).write_bytes(content)
        with pytest.raises(ArchiveError):
            complete_backup(two, tmp_path / "again")
        assert not (tmp_path / "again").exists()


def test_what_is_no_backup_is_refused_and_stays(make: Make, tmp_path: Path) -> None:
    one, two = make("one", b"a"), make("two", b"b")
    with pytest.raises(InputError, match="its own base"):
        make_increment(one, one)
    with pytest.raises(InputError, match="not a folder"):
        make_increment(two, tmp_path / "none" / "such")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not as `backup` has made it"):
        make_increment(tmp_path / "empty", one)
    (one / "index").mkdir()
    with pytest.raises(InputError, match="another backup"):
        make_increment(two, one)
    assert contents(two) == {"memory.db": b"b"}
    (one / "index").rmdir()
    make_increment(two, one)
    with pytest.raises(InputError, match="already"):
        make_increment(two, one)
    with pytest.raises(InputError, match="exists already"):
        complete_backup(two, one)
    # A base that leads back to itself.
    shutil.copy(two / INCREMENT_NAME, one)
    with pytest.raises(ArchiveError, match="lead nowhere"):
        complete_backup(one, tmp_path / "again")


def test_a_backup_that_others_were_made_from_stays(make: Make, tmp_path: Path) -> None:
    first, second, third = (make(name, name.encode() * 9000) for name in ("one", "two", "three"))
    make_increment(second, first)
    make_increment(third, second)
    (tmp_path / "link").symlink_to(third)
    for base in (second, third, tmp_path / "link"):
        with pytest.raises(InputError, match="has to stay as it is"):
            make_increment(first, base)
    assert contents(first) == {"memory.db": b"one" * 9000}
    complete_backup(third, tmp_path / "again")
    assert contents(tmp_path / "again") == {"memory.db": b"three" * 9000}


# Puts a backup together in processes that end at their first, second, ... call that changes files,
# until one is done. Prints what each finds in the target.
_KILLED = """
import os, shutil, sys
from pathlib import Path
from agentmem_storage.increments import complete_backup

source, target = Path(sys.argv[1]), Path(sys.argv[2])
left = 0

def counted(call):
    def one(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*args, **kwargs)
    return one

Path.rename, Path.mkdir, Path.chmod = map(counted, (Path.rename, Path.mkdir, Path.chmod))
shutil.copyfile = counted(shutil.copyfile)
for number in range(40):
    pid = os.fork()
    if pid == 0:
        left = number
        complete_backup(source, target)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code, *(sorted(os.listdir(target)) if target.exists() else ()), flush=True)
    if code != 9:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize("existing", [True, False])
def test_a_killed_one_leaves_nothing_half_done(make: Make, tmp_path: Path, existing: bool) -> None:
    """The next one there was refused, as some of the files were there already."""
    one = make("one", b"rows")
    (one / "keys.db").write_bytes(b"keys")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "again"
    if existing:
        target.mkdir()
        target.chmod(0o750)
    command = [sys.executable, "-c", _KILLED, str(one), str(target)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(found) > 6
    assert found == [*["9"] * (len(found) - 1), "0 keys.db memory.db"]
    assert contents(target) == contents(one)
    assert target.stat().st_mode & 0o777 == (0o750 if existing else 0o700)
    # What the killed ones left beside it is gone.
    assert os.listdir(tmp_path / "out") == ["again"]


def test_a_link_to_an_empty_folder_stays_one(make: Make, tmp_path: Path) -> None:
    one = make("one", b"rows")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert complete_backup(one, tmp_path / "link") == tmp_path / "link"
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "empty") == contents(one)
