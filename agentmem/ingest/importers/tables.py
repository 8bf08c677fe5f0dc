"""Tables: CSV files, each row a document that names its columns.

A cell that takes several chunks names its column in each, see `agentmem.ingest.importers.cells`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from agentmem.errors import InputError
from agentmem.ingest.checks import MAX_CHARS
from agentmem.ingest.importers.cells import labelled
from agentmem.ingest.importers.items import Imported, Item
from agentmem.types import Document

FORM = "CSV rows"
SUFFIXES = (".csv", ".tsv")
_BEGINNING = 64 * 1024
_DELIMITERS = ",;\t|"
# Documents of one call, between which progress is shown.
_BATCH = 256
_LIMIT = Lock()


def read(path: Path) -> Imported:
    """The rows of a file whose first row has the names of the columns.

    Raises:
        InputError: it has no header, a row has more cells than that, or it is not UTF-8.
    """
    try:
        with _long_cells():
            rows = list(_rows(path))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is not UTF-8: {error.reason} at byte {error.start}; convert it"
        ) from error
    except csv.Error as error:
        if "field limit" in str(error):
            raise InputError(
                f"{str(path)!r}: a cell has more than {MAX_CHARS:,} characters: split it, or close "
                f"the quotation mark that opens it"
            ) from error
        raise InputError(f"{str(path)!r} is not a table: {error}") from error
    items = [
        Item(f"{path}, rows from {first + 1}", rows[first : first + _BATCH])
        for first in range(0, len(rows), _BATCH)
    ]
    return Imported(FORM, tuple(items))


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell have as many characters as a text may have; the limit is one of the process."""
    with _LIMIT:
        before = csv.field_size_limit(MAX_CHARS)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _rows(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        beginning = file.read(_BEGINNING)
        file.seek(0)
        table = csv.reader(file, _dialect(path, beginning), strict=True)
        header = [name.strip() for name in next(table, [])]
        if not header or not all(header):
            raise InputError(f"{str(path)!r} has no header: its first row names the columns")
        for cells in table:
            if len(cells) > len(header):
                raise InputError(
                    f"{path}:{table.line_num}: {len(cells)} cells, but the header has "
                    f"{len(header)} columns"
                )
            # Rows may be shorter, and cells empty.
            named = [
                (name, cell) for name, cell in zip(header, cells, strict=False) if cell.strip()
            ]
            if named:
                text = "\n".join(line for name, cell in named for line in labelled(name, cell))
                yield Document(text, title=path.name)


def _dialect(path: Path, beginning: str) -> type[csv.Dialect]:
    """How cells are separated, as far as the beginning of the file tells."""
    if path.suffix.lower() == ".tsv":
        return csv.excel_tab
    try:
        return csv.Sniffer().sniff(beginning, _DELIMITERS)
    except csv.Error:  # one column, or too little to tell
        return csv.excel
