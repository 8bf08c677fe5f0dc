"""Encryption of archives with a passphrase: scrypt for the key, AES-256-GCM for the blocks.

Each file has a salt of its own, so its key encrypts nothing else, and the number of a block is its
nonce. A block is bound to its number, to its head, which says whether it is the final one, and to
the header of the file: none can be changed, moved, left out or added.
"""

from __future__ import annotations

import secrets
import struct
import unicodedata
from typing import TYPE_CHECKING, Final

from agentmem_storage.archive.errors import damaged
from agentmem_storage.errors import ArchiveError, InputError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT_BYTES: Final = 16
# log2 of scrypt's cost; 17 takes 128 MiB. A file that asks for more than twice that is refused.
COST: Final = 17
_COSTS = range(10, COST + 2)
_BLOCK_SIZE, _PARALLEL = 8, 1
_KEY_BYTES, _TAG_BYTES = 32, 16
_NONCE = struct.Struct("<QI")


class PassphraseSeal:
    """Encrypts the blocks of one file; see `agentmem_storage.archive.blocks.Seal`."""

    overhead = _TAG_BYTES

    def __init__(self, passphrase: str, salt: bytes, cost: int, header: bytes, label: str) -> None:
        """Derive the key, which takes a moment on purpose.

        Args:
            passphrase: Any text; letters composed in another way are the same.
            salt: The file's own.
            cost: log2 of scrypt's cost.
            header: The header of the file, to which every block is bound.
            label: Names the file in errors.

        Raises:
            InputError: the passphrase is empty.
            ArchiveError: the cost is out of bounds.
            MissingExtraError: ``cryptography`` is not installed.
        """
        if not isinstance(passphrase, str):
            raise TypeError(f"passphrase must be a string, not {type(passphrase).__name__}")
        if not passphrase:
            raise InputError("the passphrase is empty: leave it out to write without encryption")
        if cost not in _COSTS:
            raise damaged(label, f"the cost of its passphrase, {cost!r}, is out of bounds")
        self._cipher = _cipher(passphrase, salt, cost)
        self._header = header
        self._label = label

    def seal(self, payload: bytes, number: int, head: bytes) -> bytes:
        """See `Seal`."""
        return self._cipher.encrypt(_NONCE.pack(number, 0), payload, self._header + head)

    def open(self, payload: bytes, number: int, head: bytes) -> bytes:
        """See `Seal`."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(_NONCE.pack(number, 0), payload, self._header + head)
        except (InvalidTag, ValueError):
            if number:
                raise damaged(self._label, f"block {number} is not what was encrypted") from None
            raise ArchiveError(
                f"{self._label!r} cannot be decrypted: the passphrase is another one, or the file "
                f"is damaged"
            ) from None


def new_salt() -> bytes:
    """A salt for one file."""
    return secrets.token_bytes(SALT_BYTES)


def _cipher(passphrase: str, salt: bytes, cost: int) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as error:
        raise MissingExtraError(
            "encrypted archives need cryptography: pip install 'latent-agentmem[encryption]'",
            extra="encryption",
        ) from error
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    scrypt = Scrypt(salt=salt, length=_KEY_BYTES, n=2**cost, r=_BLOCK_SIZE, p=_PARALLEL)
    return AESGCM(scrypt.derive(secret))
