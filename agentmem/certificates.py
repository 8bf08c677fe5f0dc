"""Certificates of what was forgotten: what was asked for, what was deleted, and when; no text.

A certificate is a JSON object. ``sha256`` is the hash of all other fields but ``signature``, as
JSON with sorted keys and no spaces; the signature, if there is one, is of the same bytes. It proves
to others what whoever has the key says, and not that it is true.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentmem._version import __version__
from agentmem.errors import InputError, MissingExtraError
from agentmem.results import ForgetReceipt
from agentmem_storage.disk import as_path, make_private_file, sync
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.numbers import as_int, plain_scalar
from agentmem_storage.records import Selection

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_WHAT: Final = "agentmem: memories were forgotten"
_ALGORITHM: Final = "Ed25519"
_NOT_HASHED: Final = ("sha256", "signature")
_MOST_BYTES: Final = 2**26
_FILE: Final = "the path of a file"
_KEY_HINT: Final = "make one with: openssl genpkey -algorithm ed25519 -out key.pem"


@dataclass
class Draft:
    """A certificate of a deletion that has not been made yet.

    Attributes:
        path: Where it is written.
        facts: What is known before: the store, and what was asked for.
        key: Signs it; None for no signature.
    """

    path: Path
    facts: Mapping[str, Any]
    key: Ed25519PrivateKey | None
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def complete(self, receipt: ForgetReceipt) -> None:
        """Write what was done.

        Raises:
            InputError: it cannot be written, though the memories are gone.
        """
        facts = {
            "certificate": _WHAT,
            "version": 1,
            **self.facts,
            "began_at": self.began_at.isoformat(),
            "ended_at": datetime.now(UTC).isoformat(),
            "memories": len(receipt.ids),
            "sources": receipt.sources,
            "ids": list(receipt.ids),
            "purged": receipt.purged,
            "agentmem": __version__,
        }
        content = _canonical(facts)
        signature = None
        if self.key is not None:
            signature = {
                "algorithm": _ALGORITHM,
                "public_key": self.key.public_key().public_bytes_raw().hex(),
                "value": self.key.sign(content).hex(),
            }
        whole = {**facts, "sha256": hashlib.sha256(content).hexdigest(), "signature": signature}
        text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        try:
            self.path.write_text(text, encoding="utf-8")
            sync(self.path)
        except OSError as error:
            if is_interruption(error):
                raise
            raise InputError(
                f"{len(receipt.ids):,} memories were forgotten, and the certificate "
                f"{str(self.path)!r} cannot be written: {error.strerror}"
            ) from error


@contextmanager
def drafted(
    path: str | os.PathLike[str],
    signing_key: str | os.PathLike[str] | None,
    facts: Mapping[str, Any],
) -> Iterator[Draft]:
    """Everything that can fail before a deletion is done before it; without one, nothing is left.

    Raises:
        InputError: there is something at the path, or it cannot be written; or the key is none.
        MissingExtraError: a key is given, and ``cryptography`` is not installed.
    """
    key = None if signing_key is None else _private_key(signing_key)
    place = as_path(path, _FILE)
    try:
        made = make_private_file(place)
    except OSError as error:
        if is_interruption(error):
            raise
        raise InputError(f"cannot write {str(path)!r:.500}: {error.strerror}") from error
    if not made:
        raise InputError(f"{str(path)!r:.500} exists already: give the path of a new certificate")
    draft = Draft(place, facts, key)
    try:
        yield draft
    except BaseException:
        if not place.stat().st_size:
            place.unlink()
        raise


def asked(selection: Selection, ids: object) -> dict[str, Any]:
    """The conditions of a deletion, as plain values.

    Raises:
        TypeError: an id is none.
    """
    given: dict[str, Any] = {
        **{name: id for name, id in asdict(selection.scope).items() if id is not None},
        "where": None if selection.where is None else _plain(selection.where),
        "before": None if selection.until is None else selection.until.isoformat(),
    }
    if isinstance(ids, Iterable) and not isinstance(ids, str | bytes | bytearray | memoryview):
        given["ids"] = [one if isinstance(one, str) else as_int(one, "an id") for one in ids]
    return {name: one for name, one in given.items() if one is not None}


def _plain(where: Mapping[str, Any]) -> Any:
    """A filter as JSON has it, whatever types `agentmem.Memory.forget` takes in one."""

    def default(value: Any) -> Any:
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Iterable):
            return list(value)
        plain = plain_scalar(value)
        return str(plain) if plain is value else plain

    return json.loads(json.dumps(where, default=default))


def check_certificate(
    path: str | os.PathLike[str], *, public_key: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Read a certificate that `Memory.forget` has written, and check that it is unchanged.

    Args:
        path: The file.
        public_key: A PEM file with the Ed25519 key that must have signed it. None: the hash is
            checked, and a signature with the key that the certificate itself names.

    Returns:
        What it says.

    Raises:
        InputError: it cannot be read, was altered, or is not signed with that key.
        MissingExtraError: it is signed, and ``cryptography`` is not installed.
    """
    place = as_path(path, _FILE)
    try:
        with place.open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except OSError as error:
        if is_interruption(error):
            raise
        raise InputError(f"cannot read {str(path)!r:.500}: {error.strerror}") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("certificate") != _WHAT:
        raise InputError(f"{str(path)!r:.500} is not a certificate of agentmem")
    content = _canonical({name: one for name, one in found.items() if name not in _NOT_HASHED})
    if found.get("sha256") != hashlib.sha256(content).hexdigest():
        raise InputError(f"{str(path)!r:.500} was altered: it does not match its hash")
    signature = found.get("signature")
    if signature is not None:
        _check_signature(str(path), signature, content, public_key)
    elif public_key is not None:
        raise InputError(f"{str(path)!r:.500} is not signed")
    return found


def _check_signature(
    label: str, signature: object, content: bytes, public_key: str | os.PathLike[str] | None
) -> None:
    expected = None if public_key is None else _public_key(public_key)
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise _missing() from error
    try:
        assert isinstance(signature, dict)
        named = bytes.fromhex(signature["public_key"])
        Ed25519PublicKey.from_public_bytes(named).verify(bytes.fromhex(signature["value"]), content)
    except (AssertionError, InvalidSignature, KeyError, TypeError, ValueError):
        raise InputError(f"{label!r:.500} was altered: its signature does not match") from None
    if expected is not None and expected.public_bytes_raw() != named:
        raise InputError(f"{label!r:.500} is signed with another key than {str(public_key)!r:.500}")


def _private_key(path: str | os.PathLike[str]) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise _missing() from error
    content = _read(path)
    try:
        key = load_pem_private_key(content, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{str(path)!r:.500} is not an Ed25519 private key in PEM, without a password: "
            f"{_KEY_HINT}"
        )
    return key


def _public_key(path: str | os.PathLike[str]) -> Ed25519PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise _missing() from error
    content = _read(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(
            f"{str(path)!r:.500} is not an Ed25519 public key in PEM: get it from the private one "
            f"with: openssl pkey -in key.pem -pubout -out public.pem"
        )
    return key


def _read(path: str | os.PathLike[str]) -> bytes:
    place = as_path(path, _FILE)
    try:
        with place.open("rb") as file:
            return file.read(2**16)
    except OSError as error:
        if is_interruption(error):
            raise
        raise InputError(f"cannot read the key {str(path)!r:.500}: {error.strerror}") from error


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "signed certificates need cryptography: pip install 'latent-agentmem[encryption]'",
        extra="encryption",
    )


def _canonical(facts: Mapping[str, Any]) -> bytes:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A key or value with half of a surrogate pair is no text that was written here.
    return text.encode(errors="backslashreplace")
