"""Documents: Markdown and plain text, one file or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item
from agentmem.types import Document
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.text import is_blank

FORM = "documents"
SUFFIXES = (".md", ".markdown", ".mdx", ".txt", ".rst")


def read(path: Path) -> Imported:
    """The documents of a folder and the folders in it, by name; or one file.

    Their uri is the path within the folder. Hidden files and symbolic links are left out; files of
    a folder that have no text are counted.

    Raises:
        InputError: there are none.
    """
    if not path.is_dir():
        return Imported(FORM, (Item(str(path), [Document.from_file(path)]),))
    items: list[Item] = []
    blank = 0
    for file in document_files(path):
        if has_no_text(file):
            blank += 1
            continue
        uri = file.relative_to(path).as_posix()
        items.append(Item(str(file), [replace(Document.from_file(file), uri=uri)]))
    if not items and not blank:
        raise InputError(
            f"{str(path)!r} has no documents ({', '.join(SUFFIXES)}) and no conversations.json"
        )
    return Imported(FORM, tuple(items), {"blank": blank} if blank else {})


def has_no_text(file: Path) -> bool:
    """Whether it is a blank file. One that cannot be read or decoded is not: `add` says why."""
    try:
        return file.is_file() and is_blank(file.read_text(encoding="utf-8-sig", errors="replace"))
    except OSError as error:
        if is_interruption(error):
            raise
        return False


def document_files(
    folder: Path, on_error: Callable[[OSError], object] | None = None
) -> Iterator[Path]:
    """The documents in a folder and those in it, by name.

    Args:
        folder: The folder.
        on_error: Called if a folder cannot be read; None leaves it out.
    """
    for place, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            known = file.suffix.lower() in SUFFIXES
            if known and not name.startswith(".") and not file.is_symlink():
                yield file
