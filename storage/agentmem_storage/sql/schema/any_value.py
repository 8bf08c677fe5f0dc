"""A column whose values stay as they are: a number is no text, and no text a number.

A column of SQLite holds values of any type. In PostgreSQL it is one of bytes, into which values are
packed so that those of one type sort as they do by themselves: numbers by size, texts by code
point.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import UserDefinedType

# No text in UTF-8 has these bytes, so that a text is never found across the beginning.
_NUMBER, _TEXT = b"\xfe", b"\xff"
_DOUBLE, _BITS = struct.Struct(">d"), struct.Struct(">Q")
_SIGN, _ALL = 1 << 63, (1 << 64) - 1

Processor = Callable[[Any], Any]


class AnyValue(UserDefinedType[Any]):
    """A number that a float holds exactly, a text, or NULL."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """What SQLite calls it."""
        return "BLOB"

    def bind_processor(self, dialect: Dialect) -> Processor | None:
        """Packs what is written and compared."""
        return pack if dialect.name == "postgresql" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        """Unpacks what is read."""
        return unpack if dialect.name == "postgresql" else None


def pack(value: float | str | None) -> bytes | None:
    """A value as bytes.

    Args:
        value: A text; or a number, for an integer up to 2**53 or infinity as well.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _TEXT + value.encode()
    # Adding 0 makes -0.0 the 0.0 that it equals.
    (bits,) = _BITS.unpack(_DOUBLE.pack(float(value) + 0.0))
    return _NUMBER + _BITS.pack(bits ^ (_ALL if bits & _SIGN else _SIGN))


def unpack(packed: bytes | None) -> float | str | None:
    """The inverse of `pack`; an integer comes back as the float that it equals."""
    if packed is None:
        return None
    if packed[:1] == _TEXT:
        return packed[1:].decode()
    (bits,) = _BITS.unpack(packed[1:])
    bits ^= _SIGN if bits & _SIGN else _ALL
    number: float = _DOUBLE.unpack(_BITS.pack(bits))[0]
    return number
