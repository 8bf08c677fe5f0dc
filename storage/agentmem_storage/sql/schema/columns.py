"""Types of columns that check what they read, because SQLite does not.

Any row of an SQLite file may hold a value of any type in any column, once a bit has flipped or
another program has written to it. Here a value of a wrong type is an error that names the column;
it never reaches code that expects another, and its content is in no message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import REAL, Column, Integer, LargeBinary, Text
from sqlalchemy.types import TypeEngine

from agentmem_storage.errors import CorruptRecordError

# As SQLite calls them.
_NAMES = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "NULL"}

Processor = Callable[[Any], Any]


class Checked(TypeEngine[Any]):
    """What the types below have in common.

    Args:
        what: Names the column in errors.
        optional: Whether it may be NULL.
    """

    kind: type = object

    def __init__(self, what: str = "a value", optional: bool = False) -> None:
        super().__init__()
        self.what = what
        self.optional = optional

    def fault(self, value: object) -> str | None:
        """What is wrong with a value that was read; None if nothing is."""
        if type(value) is self.kind or (value is None and self.optional):
            return None
        if self.kind is str and type(value) is bytes:
            return f"{self.what} is not UTF-8"
        found = _NAMES.get(type(value), type(value).__name__)
        return f"{self.what} is {found}, not {_NAMES[self.kind]}"

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:
        """Check each value that is read."""
        kind, optional = self.kind, self.optional

        def process(value: Any) -> Any:
            if type(value) is kind or (value is None and optional):
                return value
            raise CorruptRecordError(f"{self.fault(value)}: a row is damaged")

        return process


class _Whole(Checked, Integer):
    kind = int


class _Real(Checked, REAL[float]):
    kind = float


class _Text(Checked, Text):
    kind = str


class _Blob(Checked, LargeBinary):
    kind = bytes


def whole(name: str, *of: Any, optional: bool = False, **options: Any) -> Column[int]:
    """A column of integers; ``of`` is the foreign key if there is one."""
    return Column(name, _Whole(name, optional), *of, nullable=optional, **options)


def real(name: str, *, optional: bool = False) -> Column[float]:
    """A column of floating-point numbers."""
    return Column(name, _Real(name, optional), nullable=optional)


def words(name: str, *, optional: bool = False) -> Column[str]:
    """A column of text."""
    return Column(name, _Text(name, optional), nullable=optional)


def blob(name: str, *, optional: bool = False) -> Column[bytes]:
    """A column of bytes."""
    return Column(name, _Blob(name, optional), nullable=optional)


def read_text(encoded: bytes) -> str | bytes:
    """Text as it is read from a row: the bytes themselves if they are not UTF-8.

    The driver's own error has the text in its message.
    """
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded
