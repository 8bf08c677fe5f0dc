"""Says which form a file has, and reads it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers import chatgpt, claude, documents, langgraph, mem0, messages, tables
from agentmem.ingest.importers.items import Imported
from agentmem.ingest.importers.json_values import is_json, members, parse_json, read_values

# Large exports have several, numbered ones.
_CONVERSATIONS = re.compile(r"conversations(?:[-_]\d+)?\.json")
# Of a file in a ZIP, once it is expanded.
_MOST_BYTES = 2**32
Values = Sequence[tuple[str, Mapping[str, Any]]]
_FORMS: tuple[tuple[Callable[[object], bool], Callable[[Values], Imported]], ...] = (
    (chatgpt.fits, chatgpt.read),
    (claude.fits, claude.read),
    (mem0.fits, mem0.read),
    (langgraph.fits, langgraph.read),
)


def read_file(path: Path) -> Imported:
    """Read a file or folder that another program has written.

    Raises:
        InputError: its form is not known, or something in it is not as that form has it.
        OSError: it cannot be read.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if _CONVERSATIONS.fullmatch(one.name))
        values = [value for one in files if one.is_file() for value in read_values(one)]
        return _read_values(path, values) if values else documents.read(path)
    suffix = path.suffix.lower()
    if suffix in tables.SUFFIXES:
        return tables.read(path)
    if suffix in documents.SUFFIXES:
        return documents.read(path)
    if is_json(path):
        return _read_values(path, list(read_values(path)))
    if zipfile.is_zipfile(path):
        return _read_values(path, _zipped(path))
    raise InputError(
        f"{str(path)!r} is of no known form: give an .amem file, JSON (*.json, *.jsonl), a table "
        f"(*.csv, *.tsv), a document ({', '.join(documents.SUFFIXES)}), a folder of documents, or "
        "the ZIP or folder of an export with conversations.json"
    )


def _read_values(path: Path, values: Sequence[tuple[str, object]]) -> Imported:
    for fits, read in _FORMS:
        if not values or not fits(values[0][1]):
            continue
        fitting = []
        for where, value in values:
            if not isinstance(value, Mapping) or not fits(value):
                raise InputError(f"{where} is of another form than the first")
            fitting.append((where, value))
        return read(fitting)
    return messages.read(path, values)


def _zipped(path: Path) -> list[tuple[str, object]]:
    """The conversations in the ZIP of an export."""
    values: list[tuple[str, object]] = []
    try:
        with zipfile.ZipFile(path) as archive:
            found = [one for one in archive.infolist() if _is_conversations(one)]
            if len({Path(one.filename).name for one in found}) < len(found):
                raise InputError(f"{str(path)!r} has several exports in it: unpack them")
            if not found:
                raise InputError(f"{str(path)!r} is a ZIP without conversations.json")
            for one in sorted(found, key=lambda one: one.filename):
                where = f"{path}/{one.filename}"
                values += members(parse_json(_expanded(archive, one, where), where), where)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{str(path)!r} is a damaged or encrypted ZIP: {error}") from error
    return values


def _is_conversations(file: zipfile.ZipInfo) -> bool:
    return _CONVERSATIONS.fullmatch(Path(file.filename).name) is not None


def _expanded(archive: zipfile.ZipFile, file: zipfile.ZipInfo, where: str) -> bytes:
    if file.file_size > _MOST_BYTES:
        raise InputError(f"{where} is too large to be read")
    with archive.open(file) as opened:
        # Not more than it says, whatever it expands to.
        return opened.read(file.file_size + 1)
