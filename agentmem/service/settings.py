"""How a service is run: who may use it, and how much of it."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field

from agentmem.errors import ConfigError
from agentmem.service.tokens import Tokens

DEFAULT_PORT = 7717
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a service.

    Attributes:
        tokens: Who may use it; none means everybody on this machine.
        hosts: Names under which it may be asked for, in lower case; None means any. A page of
            another site cannot reach a service on loopback by a name of its own then (DNS
            rebinding).
        rate: Requests per second of one token, on average; twice as many may come at once.
        max_body_bytes: Size of the largest body of a request.
        timeout_s: How long a request may take, from its first byte to the answer, in seconds.
        workers: How many requests work with the store at the same time.
        queue: How many more may wait for that.
    """

    tokens: Tokens = field(default_factory=Tokens)
    hosts: frozenset[str] | None = frozenset(LOOPBACK)
    rate: float = 50.0
    max_body_bytes: int = 2**20
    timeout_s: float = 60.0
    workers: int = 4
    queue: int = 256

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: one is not positive, or infinite.
        """
        for name in ("rate", "max_body_bytes", "timeout_s", "workers", "queue"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name}={value!r} must be greater than 0")


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, more: tuple[str, ...]) -> frozenset[str] | None:
    """The names under which a service that binds to ``host`` may be asked for.

    Args:
        host: The address or name it binds to.
        more: Other names, such as that of a proxy before it.

    Returns:
        None for any, if it binds to all addresses and no names are given.
    """
    named = frozenset(name.lower() for name in more)
    if host in ("0.0.0.0", "::", "") and not named:
        return None
    return named | {host.lower(), *LOOPBACK}


def check_binding(host: str, tokens: Tokens) -> None:
    """Refuse to offer a store to the network without tokens.

    Raises:
        ConfigError: the address can be reached from other machines, and there are no tokens.
    """
    if not is_loopback(host) and not tokens:
        raise ConfigError(
            f"host {host!r} can be reached from other machines, where anyone could read and forget "
            f"all memories: give tokens (--tokens FILE or AGENTMEM_TOKEN), or bind to 127.0.0.1"
        )
