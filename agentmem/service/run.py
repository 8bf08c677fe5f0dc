"""Runs a service until it is told to stop."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import uvicorn

from agentmem.errors import ConfigError
from agentmem.memory import Memory
from agentmem.service.app import create_app
from agentmem.service.settings import Settings


def run(
    memory: Memory,
    settings: Settings,
    *,
    host: str,
    port: int,
    on_start: Callable[[str], object],
) -> None:
    """Serve a memory until the process gets SIGINT or SIGTERM; requests under way are completed.

    Args:
        memory: The open memory.
        settings: Who may use it, and how much.
        host: The address to bind to.
        port: The port; 0 is any that is free.
        on_start: Called with the URL as soon as connections are accepted.

    Raises:
        ConfigError: the address is not one of this machine, or the port is in use.
    """
    config = uvicorn.Config(
        create_app(memory, settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.timeout_s) + 1,
    )
    with _listening(host, port) as listener:
        # What is there by now stays for good. Without it, a full garbage collection, which stops
        # all threads, has a small part of the objects to look at.
        gc.collect()
        gc.freeze()
        # The next ones come early and are short: after a third as many smaller ones as usual, and
        # once there are a quarter as many new objects as the last has left, which now are few.
        gc.collect()
        gc.set_threshold(*gc.get_threshold()[:2], 3)
        on_start(_url(listener))
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        raise ConfigError(f"cannot serve at {host!r}, port {port}: {error}") from error
    listener.set_inheritable(True)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
