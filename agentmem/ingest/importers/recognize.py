"""Says which form a file has, and reads it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers import (
    chatgpt,
    claude,
    discord,
    documents,
    langgraph,
    mem0,
    messages,
    slack,
    tables,
    telegram,
    whatsapp,
)
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
    (slack.fits, slack.read),
    (telegram.fits, telegram.read),
    (discord.fits, discord.read),
)


def read_file(path: Path) -> Imported:
    """Read a file or folder that another program has written.

    Raises:
        InputError: its form is not known, or something in it is not as that form has it.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return _read_folder(path)
    suffix = path.suffix.lower()
    if suffix in tables.SUFFIXES:
        return tables.read(path)
    if whatsapp.is_named_so(path.name) and whatsapp.fits(text := _text(path.read_bytes(), path)):
        return whatsapp.read(str(path), text)
    if suffix in documents.SUFFIXES:
        return documents.read(path)
    if is_json(path):
        return _read_values(path, list(read_values(path)))
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    raise InputError(
        f"{str(path)!r} is of no known form: give an .amem file, JSON (*.json, *.jsonl), a table "
        f"(*.csv, *.tsv), a document ({', '.join(documents.SUFFIXES)}), a folder of documents, or "
        "the ZIP or folder of an export with conversations.json, of Slack, or of WhatsApp"
    )


def _read_folder(path: Path) -> Imported:
    found = sorted(one for one in path.iterdir() if _CONVERSATIONS.fullmatch(one.name))
    values = [value for one in found if one.is_file() for value in read_values(one)]
    if not values and (path / telegram.FILE).is_file():
        with suppress(InputError):  # of something else
            values = [one for one in read_values(path / telegram.FILE) if telegram.fits(one[1])]
    if values:
        return _read_values(path, values)
    found = [*path.glob("*.json"), *path.glob("*/*.json")]
    files = {one.relative_to(path).as_posix(): one for one in found if one.is_file()}
    if not slack.is_export(files):
        return documents.read(path)
    return slack.read_export(
        str(path), files, lambda name: parse_json(files[name].read_bytes(), str(files[name]))
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


def _read_zip(path: Path) -> Imported:
    """The export in a ZIP."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {one.filename: one for one in archive.infolist()}

            def parsed(name: str) -> object:
                where = f"{path}/{name}"
                return parse_json(_expanded(archive, files[name], where), where)

            if slack.is_export(files):
                return slack.read_export(str(path), files, parsed)
            chats = [name for name in files if whatsapp.is_named_so(Path(name).name)]
            if len(chats) == 1:
                where = f"{path}/{chats[0]}"
                return whatsapp.read(
                    where, _text(_expanded(archive, files[chats[0]], where), where)
                )
            found = sorted(name for name, one in files.items() if _is_conversations(one))
            if len(chats) > 1 or len({Path(name).name for name in found}) < len(found):
                raise InputError(f"{str(path)!r} has several exports in it: unpack them")
            if not found:
                raise InputError(f"{str(path)!r} is a ZIP without conversations.json")
            values = [one for name in found for one in members(parsed(name), f"{path}/{name}")]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{str(path)!r} is a damaged or encrypted ZIP: {error}") from error
    return _read_values(path, values)


def _text(data: bytes, where: object) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not utf-8: {error.reason} at byte {error.start}") from error


def _is_conversations(file: zipfile.ZipInfo) -> bool:
    return _CONVERSATIONS.fullmatch(Path(file.filename).name) is not None


def _expanded(archive: zipfile.ZipFile, file: zipfile.ZipInfo, where: str) -> bytes:
    if file.file_size > _MOST_BYTES:
        raise InputError(f"{where} is too large to be read")
    with archive.open(file) as opened:
        # Not more than it says, whatever it expands to.
        return opened.read(file.file_size + 1)
