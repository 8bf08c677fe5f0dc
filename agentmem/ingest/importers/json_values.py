"""JSON files, with errors that say where, and what else could be done with the file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

from agentmem.errors import InputError
from agentmem.ingest.unique_keys import keys_once

_LINES = (".jsonl", ".ndjson")
_JSON = ".json"


def is_lines(path: Path) -> bool:
    """Whether a file has one JSON value per line, by its name."""
    return path.suffix.lower() in _LINES


def is_json(path: Path) -> bool:
    """Whether a file has JSON, by its name; one value, or one per line."""
    return path.suffix.lower() in (*_LINES, _JSON)


def read_values(path: Path, *, way_out: str = "") -> Iterator[tuple[str, object]]:
    """The JSON values of a file, each with its place; the members of a list one by one.

    Args:
        path: The file.
        way_out: What else to do with a file that is not JSON; the end of the error's message.

    Raises:
        InputError: it is not JSON, or an object has a key twice.
    """
    if not is_lines(path):
        yield from members(parse_json(path.read_bytes(), str(path), way_out=way_out), str(path))
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                where = f"{path}:{number}"
                yield where, _parse(line, where, "")


def members(value: object, where: str) -> Iterator[tuple[str, object]]:
    """The members of a list, each with its place; anything else is the only one."""
    if isinstance(value, list):
        yield from ((f"{where}, item {number}", one) for number, one in enumerate(value))
    else:
        yield where, value


def parse_json(data: bytes, where: str, *, way_out: str = "") -> object:
    """The JSON value of a whole file.

    Raises:
        InputError: it is not JSON, or an object has a key twice.
    """
    return _parse(data.removeprefix(codecs.BOM_UTF8), where, way_out, whole=True)


def _parse(data: bytes, where: str, way_out: str, *, whole: bool = False) -> object:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=keys_once)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        lines = ""
        if whole and str(error).startswith("Extra data"):
            lines = "; if it has one message per line, name it *.jsonl"
        raise InputError(f"{where} is not JSON: {error}{lines}{way_out}") from error
