"""The master key of an encrypted store, as callers give it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentmem_storage.errors import InputError, StoreKeyError

KEY_BYTES: Final = 32

# The key itself; the path of a file that has it; or what returns it, such as a call of a keyring or
# of a key management service.
Key = bytes | str | os.PathLike[str] | Callable[[], bytes]


def read_master_key(key: Key, folder: Path) -> bytes:
    """The 32 bytes of a master key. No error has any of them in its message.

    Args:
        key: The bytes, the path of a file with nothing else in it, or what returns them.
        folder: The folder of the store, in which the file must not be.

    Raises:
        InputError: The file is in the folder, where whoever copies the store would get it too.
        StoreKeyError: The file cannot be read, or there are not 32 bytes.
    """
    if isinstance(key, bytes):
        return _checked(key, "key=")
    if isinstance(key, str | os.PathLike):
        return _checked(_content(key, folder), "the key file")
    if not callable(key):
        raise TypeError(
            f"key must be 32 bytes, the path of a file with them, or a function that returns them, "
            f"not {type(key).__name__}"
        )
    found = key()
    if not isinstance(found, bytes):
        raise TypeError(f"the function given as key= must return bytes, not {type(found).__name__}")
    return _checked(found, "what the function given as key= returned")


def _content(key: str | os.PathLike[str], folder: Path) -> bytes:
    # A string may be the key itself, given by mistake.
    named = "the path given as key=" if isinstance(key, str) else repr(os.fspath(key))
    try:
        path = Path(key).expanduser().absolute()
        if path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{named} is inside the folder of the store: keep the key file elsewhere, so that "
                f"a copy of the store is no copy of its key"
            )
        with path.open("rb") as file:
            return file.read(KEY_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise StoreKeyError(
            f"{named} cannot be read as a key file ({why}): give a file of {KEY_BYTES} random bytes"
        ) from None


def _checked(key: bytes, what: str) -> bytes:
    if len(key) != KEY_BYTES:
        count = len(key) if len(key) <= KEY_BYTES else f"more than {KEY_BYTES}"
        raise StoreKeyError(
            f"{what} has {count} bytes, and a key has {KEY_BYTES} random ones, as "
            f"secrets.token_bytes({KEY_BYTES}) makes them"
        )
    return key
