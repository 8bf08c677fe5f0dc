"""AES-256-GCM: one secret, one random nonce, one message."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from agentmem_storage.errors import MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12


def make_cipher(key: bytes) -> AESGCM:
    """AES-256-GCM with a key.

    Raises:
        MissingExtraError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtraError(
            "encrypted stores need cryptography: pip install 'latent-agentmem[encryption]'",
            extra="encryption",
        ) from error
    return AESGCM(key)


def seal(cipher: AESGCM, secret: bytes, bound: bytes) -> bytes:
    """A random nonce and the ciphertext of a secret, which opens only with what it is bound to."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, secret, bound)


def unseal(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes | None:
    """The secret; None if this is not what was sealed with that key and bound to that."""
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        return None
