"""Increments: backups of which only those blocks are kept that an earlier backup does not have.

The folder of a backup has one or more files. That of an increment has a single one, which names the
earlier folder, its base, and has the blocks in which the files differ from those of the base. The
base may be an increment too. What is put together again is the backup, byte for byte: so it is of
one moment, with the ids that the store had, and without what had been forgotten by then.

The file is a stream of `agentmem_storage.archive.blocks`: a manifest in JSON, preceded by its
length, and for each file of the manifest, in order, its blocks, each preceded by its number.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from agentmem_storage.archive.blocks import BlockReader, BlockWriter
from agentmem_storage.archive.errors import damaged
from agentmem_storage.claims import scratch_folder
from agentmem_storage.disk import FILE_MODE, as_path, make_private_folder, sync
from agentmem_storage.errors import InputError, StoreNotFoundError
from agentmem_storage.sql.connection.sqlite_errors import unwritable

INCREMENT_NAME: Final = "backup.increment"
FORMAT: Final = 1
_FOLDER: Final = "the folder of a backup"
# A page of SQLite's.
_BLOCK: Final = 4096
_NUMBER = struct.Struct("<Q")
_LENGTH = struct.Struct("<I")
_MOST_MANIFEST: Final = 2**16
# Each takes a copy of the files when they are put together.
_MOST_BASES: Final = 1000


@dataclass(frozen=True, slots=True)
class Incremented:
    """The outcome of `make_increment`.

    Attributes:
        folder: The folder.
        file_bytes: Size of the increment.
        full_bytes: Size of the files that it stands for.
    """

    folder: Path
    file_bytes: int
    full_bytes: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a manifest says of one file.

    Attributes:
        name: Its name.
        size: Its length, in bytes.
        sha256: Of it, in hex.
        base_sha256: Of the file with this name in the base; None if there is none.
        blocks: How many blocks of it follow.
    """

    name: str
    size: int
    sha256: str
    base_sha256: str | None
    blocks: int


def make_increment(backup: str | os.PathLike[str], base: str | os.PathLike[str]) -> Incremented:
    """Keep of a backup only what an earlier one does not have.

    Args:
        backup: The folder of a backup that no process has open as a store.
        base: The folder of an earlier backup, or of an increment, which has to be kept.

    Raises:
        InputError: One is not the folder of a backup, both are the same, or the base was made from
            this backup.
        ArchiveError: The base is an increment that is damaged.
        StoreUnwritableError: It cannot be written; the backup is as it was.
    """
    folder, earlier = as_path(backup, _FOLDER), as_path(base, _FOLDER)
    if folder.resolve() == earlier.resolve():
        raise InputError(f"{str(backup)!r:.500} cannot be its own base")
    if (folder / INCREMENT_NAME).is_file():
        raise InputError(f"{str(backup)!r:.500} is an increment already")
    files = _files(folder)
    if folder.resolve() in (one.resolve() for one in _bases(earlier)):
        raise InputError(
            f"{str(base)!r:.500} was made from {str(backup)!r:.500}, which has to stay as it is: "
            f"only the later of two backups can be an increment on the earlier one"
        )
    try:
        with scratch_folder(folder) as scratch:
            of_base = _complete(earlier, scratch)
            partial = scratch / INCREMENT_NAME
            _write(partial, files, of_base, os.path.relpath(earlier, folder))
            partial.chmod(FILE_MODE)
            sync(partial)
            partial.rename(folder / INCREMENT_NAME)
        sync(folder)
        full = sum(file.stat().st_size for file in files.values())
        # Only now: until then, it is a backup.
        for file in files.values():
            file.unlink()
        sync(folder)
    except OSError as error:
        raise unwritable(error, os.fspath(backup), what="the backup") from error
    return Incremented(folder, (folder / INCREMENT_NAME).stat().st_size, full)


def complete_backup(backup: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Put a backup together again from an increment and its bases; of another one, make a copy.

    Args:
        backup: The folder.
        target: A new or an empty folder. If it fails, it is left as it was.

    Raises:
        InputError: There is something in the target, or ``backup`` is not the folder of a backup.
        StoreNotFoundError: A base is not there.
        ArchiveError: An increment is damaged, or its base is not the one that it was made from.
        StoreUnwritableError: It cannot be written.
    """
    folder, source = as_path(target, _FOLDER), as_path(backup, _FOLDER)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(target)!r:.500} exists already: give a new or an empty folder")
    folder = folder.resolve()  # a link to an empty folder stays one
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            whole = scratch / "whole"
            make_private_folder(whole)
            if folder.is_dir():
                shutil.copymode(folder, whole)
            for own, file in _complete(source, scratch).items():
                copy = whole / own
                shutil.copyfile(file, copy)
                copy.chmod(FILE_MODE)
                sync(copy)
            sync(whole)
            if os.name != "posix" and folder.is_dir():
                folder.rmdir()
            # All files at once: a process that is killed leaves no folder with some of them.
            whole.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise unwritable(error, os.fspath(target), what="the backup") from error
    return as_path(target, _FOLDER)


def _files(folder: Path) -> dict[str, Path]:
    """The files of a complete backup, by name.

    Raises:
        InputError: It is none.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{str(folder)!r:.500} is not a folder: {error.strerror}") from error
    names = {file.name: file for file in found}
    if not any(name.endswith(".db") for name in names) or not all(
        file.is_file() and not file.is_symlink() and file.suffix == ".db" for file in found
    ):
        raise InputError(
            f"{str(folder)!r:.500} is not as `backup` has made it: it has {sorted(names)!r:.500}; "
            f"a store that was opened there leaves other files, so make another backup"
        )
    return names


def _bases(folder: Path) -> list[Path]:
    """The folders that a backup is put together from: itself, its base, and so on.

    Raises:
        ArchiveError: An increment is damaged, or they lead back to one of them.
    """
    chain = [folder]
    while (folder / INCREMENT_NAME).is_file():
        with _opened(folder) as file:
            base, _ = _read_manifest(_reader(file, folder), str(folder))
        folder = folder / base
        if len(chain) > _MOST_BASES or folder.resolve() in {one.resolve() for one in chain}:
            raise damaged(str(folder), "its bases lead nowhere")
        chain.append(folder)
    return chain


def _complete(folder: Path, scratch: Path) -> dict[str, Path]:
    """The files of a backup; those of an increment are put together in a folder."""
    *chain, folder = _bases(folder)
    if chain and not folder.is_dir():
        raise StoreNotFoundError(
            f"{str(folder)!r:.500}, which is the base of {str(chain[-1])!r:.500}, is not there: "
            f"increments need all the backups that they were made from"
        )
    files = _files(folder)
    for number, one in enumerate(reversed(chain)):
        files = _applied(one, files, scratch / str(number))
    return files


def _applied(folder: Path, base: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """The files of an increment, given those of its base."""
    scratch.mkdir()
    made = {}
    with _opened(folder) as file:
        reader = _reader(file, folder)
        _, entries = _read_manifest(reader, str(folder))
        for entry in entries:
            target = scratch / entry.name
            earlier = base.get(entry.name)
            found = None if earlier is None else _digest(earlier)
            known = 0 if earlier is None else earlier.stat().st_size
            if entry.size > known + entry.blocks * _BLOCK:
                raise damaged(str(folder), f"{entry.name} claims to be larger than its parts")
            if entry.base_sha256 is not None and found != entry.base_sha256:
                raise damaged(str(folder), f"{entry.name} of its base is another one")
            with target.open("wb") as made_of:
                if earlier is not None and entry.base_sha256 is not None:
                    with earlier.open("rb") as content:
                        shutil.copyfileobj(content, made_of)
                for _ in range(entry.blocks):
                    (number,) = _NUMBER.unpack(reader.read(_NUMBER.size))
                    if number * _BLOCK >= entry.size:
                        raise damaged(str(folder), "it has a block behind the end")
                    made_of.seek(number * _BLOCK)
                    made_of.write(reader.read(min(_BLOCK, entry.size - number * _BLOCK)))
                made_of.truncate(entry.size)
            if _digest(target) != entry.sha256:
                raise damaged(str(folder), f"{entry.name} does not match its checksum")
            made[entry.name] = target
        reader.finish()
    return made


def _write(target: Path, files: dict[str, Path], base: dict[str, Path], relative: str) -> None:
    differing = {name: _differing(file, base.get(name)) for name, file in files.items()}
    manifest = {
        "format": FORMAT,
        "base": relative,
        "files": [
            {
                "name": name,
                "size": file.stat().st_size,
                "sha256": _digest(file),
                "base_sha256": _digest(base[name]) if name in base else None,
                "blocks": len(differing[name]),
            }
            for name, file in files.items()
        ],
    }
    head = json.dumps(manifest).encode()
    with target.open("wb") as out:
        writer = BlockWriter(out, None)
        writer.write(_LENGTH.pack(len(head)) + head)
        for name, file in files.items():
            with file.open("rb") as content:
                for number in differing[name]:
                    content.seek(number * _BLOCK)
                    writer.write(_NUMBER.pack(number) + content.read(_BLOCK))
        writer.finish()


def _differing(file: Path, base: Path | None) -> list[int]:
    """The numbers of the blocks that a base does not have at their place."""
    if base is None:
        return list(range(-(-file.stat().st_size // _BLOCK)))
    with file.open("rb") as new, base.open("rb") as old:
        return [number for number, block in enumerate(_blocks(new)) if block != old.read(_BLOCK)]


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _opened(folder: Path) -> BinaryIO:
    return (folder / INCREMENT_NAME).open("rb")


def _reader(file: BinaryIO, folder: Path) -> BlockReader:
    return BlockReader(file, None, str(folder / INCREMENT_NAME))


def _read_manifest(reader: BlockReader, label: str) -> tuple[str, list[_Entry]]:
    (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
    if length > _MOST_MANIFEST:
        raise damaged(label, f"its manifest claims to have {length:,} bytes")
    try:
        found: dict[str, Any] = json.loads(reader.read(length))
        entries = [_Entry(**entry) for entry in found["files"]]
        base, version = found["base"], found["format"]
        sound = isinstance(base, str) and version == FORMAT and all(map(_is_sound, entries))
    except (KeyError, TypeError, ValueError, RecursionError):
        sound = False
    if not sound:
        raise damaged(label, "its manifest is not one that is written")
    return base, entries


def _is_sound(entry: _Entry) -> bool:
    plain = isinstance(entry.name, str) and entry.name == Path(entry.name).name
    return (
        plain
        and entry.name.endswith(".db")
        and type(entry.size) is int
        and type(entry.blocks) is int
        and 0 <= entry.blocks <= -(-entry.size // _BLOCK)
    )
