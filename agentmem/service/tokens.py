"""Bearer tokens, and the scopes they are bound to.

A file of tokens is TOML, and readable by its owner only::

    [[token]]
    name = "support"
    secret = "..."              # 32 characters or more; `openssl rand -hex 32` makes one
    agent_id = "support"        # this token reads and writes only what belongs to it

    [[token]]
    name = "operator"           # without ids: the complete store
    secret = "..."
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentmem.errors import ConfigError
from agentmem.scopes import SCOPE_IDS
from agentmem_storage.text import is_blank

ENVIRONMENT = "AGENTMEM_TOKEN"
SHORTEST = 32

_Word = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Token:
    """Who asks.

    Attributes:
        name: For logs and limits; never secret.
        digest: SHA-256 of the secret; empty for whoever asks a service without tokens.
        scope: The ids that it is bound to, as arguments of `Memory.scoped`; none means all.
    """

    name: str
    digest: bytes
    scope: tuple[tuple[str, str], ...] = ()


# Whoever asks a service without tokens.
ANYBODY = Token("anybody", b"")


class Tokens:
    """All tokens of a service; false if there are none."""

    def __init__(self, tokens: tuple[Token, ...] = ()) -> None:
        self._tokens = tokens

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def find(self, secret: str) -> Token | None:
        """The token with a secret.

        All are compared, each in constant time: how long it takes tells nothing about a secret.
        """
        given = digest(secret)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(given, token.digest):
                found = token
        return found


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: _Word
    secret: _Word
    user_id: _Word | None = None
    agent_id: _Word | None = None
    session_id: _Word | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: Annotated[list[_Entry], Field(min_length=1)]


def read_tokens(path: Path | None, environment: Mapping[str, str]) -> Tokens:
    """The tokens of a file, and the one of the environment variable AGENTMEM_TOKEN.

    That one has access to the complete store.

    Raises:
        ConfigError: the file cannot be read, others may read it, or it is malformed; two tokens
            have the same name or secret, or a secret is too short.
    """
    tokens = [] if path is None else [_token(one, str(path)) for one in _entries(path)]
    secret = environment.get(ENVIRONMENT)
    if secret is not None:
        tokens.append(_token(_Entry.model_construct(name=ENVIRONMENT, secret=secret), ENVIRONMENT))
    for what, values in (
        ("name", [token.name for token in tokens]),
        ("secret", [token.digest for token in tokens]),
    ):
        if len(set(values)) < len(values):
            raise ConfigError(f"two tokens have the same {what}: give each its own")
    return Tokens(tuple(tokens))


def _entries(path: Path) -> list[_Entry]:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{str(path)!r} has tokens, and others may read it (mode "
                    f"{stat.S_IMODE(mode):04o}): chmod 600 it"
                )
            return _File.model_validate(tomllib.load(file)).token
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not TOML: {error}") from None
    except ValidationError as error:
        # Values may be secrets: only what is wrong with them is reported.
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{str(path)!r}: {wrong}") from None


def _token(entry: _Entry, place: str) -> Token:
    if len(entry.secret) < SHORTEST or is_blank(entry.secret):
        raise ConfigError(
            f"{place}: the secret of token {entry.name!r} has fewer than {SHORTEST} characters; "
            f"`openssl rand -hex 32` makes one"
        )
    ids = {name: getattr(entry, name) for name in SCOPE_IDS}
    for name, id in ids.items():
        if id is not None and is_blank(id):
            raise ConfigError(f"{place}: {name} of token {entry.name!r} is blank")
    scope = tuple((name, id) for name, id in ids.items() if id is not None)
    return Token(entry.name, digest(entry.secret), scope)


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
