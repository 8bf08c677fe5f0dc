"""Seals the rows of a store: one row, one nonce, one message of AES-256-GCM.

A sealed row is a random nonce of 12 bytes and the ciphertext with its tag. It is bound to the key
ring of the store, to the name of its table, to its id and to the id of its key, so that no row
opens in the place of another.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentmem_storage.encryption.cipher import NONCE_BYTES, make_cipher, seal, unseal
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.errors import KeyRingError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_HEAD = struct.Struct(">I")
_BOUND = struct.Struct(">qq")
_MARK_BYTES = 16
_MARKS = 1 << (8 * _MARK_BYTES)
# In the JSON of a row, the key under which the length of a blob stands.
_BLOB = "b"


class DestroyedKeyError(Exception):
    """The key of a row has been destroyed; never seen by callers."""


class RowSeal:
    """Seals and opens the rows of one store; for one thread at a time."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._ciphers: dict[int, AESGCM] = {}

    def seal(self, kind: str, id: int, key_id: int, values: Sequence[Any]) -> bytes:
        """Seal a row: None, integers, floats, text and bytes.

        Args:
            kind: The name of its table.
            id: Its id there.
            key_id: The data key, which exists.
            values: Its columns.

        Raises:
            KeyRingError: The ring does not have the key.
            DestroyedKeyError: It has been destroyed.
        """
        return seal(self._cipher(key_id), pack(values), self._bound(kind, id, key_id))

    def open(self, kind: str, id: int, key_id: int, sealed: bytes) -> list[Any] | None:
        """The columns of a sealed row; None if this is not what was sealed in its place.

        Of a damaged file, any argument may have any type.

        Raises:
            KeyRingError: The ring does not have the key.
            DestroyedKeyError: It has been destroyed.
        """
        cipher = self._cipher(key_id)
        try:
            packed = unseal(cipher, sealed, self._bound(kind, id, key_id))
        except (AttributeError, TypeError, struct.error):
            return None
        return None if packed is None else unpack(packed)

    def opens_otherwise(self, kind: str, id: int, sealed: bytes) -> bool:
        """Whether a row was sealed with a key that is there, whatever is said of its key.

        It tries all of them, so it is for rows whose key is said to have been destroyed.
        """
        return any(self._opens(kind, id, key_id, sealed) for key_id in self._ring.ids())

    def _opens(self, kind: str, id: int, key_id: int, sealed: bytes) -> bool:
        try:
            return self.open(kind, id, key_id, sealed) is not None
        except (DestroyedKeyError, KeyRingError):
            return False

    def drop(self, key_id: int) -> None:
        """Forget a key that has been destroyed."""
        self._ciphers.pop(key_id, None)

    def _cipher(self, key_id: int) -> AESGCM:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            key = self._ring.data_key(key_id)
            if key is None:
                raise DestroyedKeyError
            cipher = self._ciphers[key_id] = make_cipher(key)
        return cipher

    def _bound(self, kind: str, id: int, key_id: int) -> bytes:
        return b"row" + self._ring.ring_id + _BOUND.pack(id, key_id) + kind.encode()


class Census:
    """A sum over all sealed rows, by which rows that were left out or brought back are noticed.

    Each row adds a keyed number of its place and its nonce, so that nobody without the key can tell
    which rows add up to what.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(b"agentmem census", key=key, digest_size=32).digest()

    def of(self, kind: str, id: int, sealed: bytes) -> int:
        """What a row adds; ``sealed`` may be just its nonce."""
        place = f"{kind}:{id}:".encode() + sealed[:NONCE_BYTES]
        digest = hashlib.blake2b(place, key=self._key, digest_size=_MARK_BYTES).digest()
        return int.from_bytes(digest, "big")

    @staticmethod
    def equal(one: int, other: int) -> bool:
        """Whether two sums are the same."""
        return (one - other) % _MARKS == 0

    @staticmethod
    def written(total: int) -> str:
        """A sum in hex digits."""
        return f"{total % _MARKS:x}"


def pack(values: Sequence[Any]) -> bytes:
    """The columns of a row as bytes: a JSON list, with the bytes of its blobs behind it."""
    listed = [{_BLOB: len(one)} if isinstance(one, bytes) else one for one in values]
    head = json.dumps(listed, separators=(",", ":")).encode()
    blobs = [one for one in values if isinstance(one, bytes)]
    return b"".join((_HEAD.pack(len(head)), head, *blobs))


def unpack(packed: bytes) -> list[Any]:
    """The inverse of `pack`."""
    (size,) = _HEAD.unpack_from(packed)
    at = _HEAD.size + size
    values: list[Any] = json.loads(packed[_HEAD.size : at])
    for number, value in enumerate(values):
        if isinstance(value, dict):
            values[number] = packed[at : at + value[_BLOB]]
            at += value[_BLOB]
    return values
