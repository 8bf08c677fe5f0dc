"""A pooler between clients and PostgreSQL that gives each transaction the one session that it has.

As PgBouncer with ``pool_mode=transaction`` and a pool of one.
"""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

_SSL, _GSS = 80877103, 80877104
_PROTOCOL = 196608
_SYNC, _QUERY, _TERMINATE, _READY = b"S", b"Q", b"X", b"Z"
_IDLE = b"I"


class Pooler:
    """Listens on a port of this machine.

    Args:
        folder: The folder of the server's socket.
        user: Whose session it is.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(str(folder / ".s.PGSQL.5432"))
        names = b"\0".join([b"user", user.encode(), b"database", b"postgres", b"", b""])
        self._server.sendall(struct.pack(">II", len(names) + 8, _PROTOCOL) + names)
        self._hello = b"".join(self._answer())
        self._turn = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close its connection to the server, and listen no more."""
        self._listener.close()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        held = False
        try:
            while _start(client) in (_SSL, _GSS):
                client.sendall(b"N")
            client.sendall(self._hello)
            while (asked := _message(client))[:1] != _TERMINATE:
                if not held:
                    held = self._turn.acquire()
                self._server.sendall(asked)
                if asked[:1] in (_SYNC, _QUERY):
                    answer = self._answer()
                    client.sendall(b"".join(answer))
                    if answer[-1][-1:] == _IDLE:
                        self._turn.release()
                        held = False
        except OSError:
            pass
        finally:
            client.close()
            if held:
                self._turn.release()

    def _answer(self) -> list[bytes]:
        """What the server says until it is ready."""
        said = [_message(self._server)]
        while said[-1][:1] != _READY:
            said.append(_message(self._server))
        return said


def _start(client: socket.socket) -> int:
    (size,) = struct.unpack(">I", _exactly(client, 4))
    found: int = struct.unpack(">I", _exactly(client, size - 4)[:4])[0]
    return found


def _message(source: socket.socket) -> bytes:
    kind, size = _exactly(source, 1), _exactly(source, 4)
    return kind + size + _exactly(source, struct.unpack(">I", size)[0] - 4)


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = source.recv(count - len(found))
        if not more:
            raise OSError("the other side has closed the connection")
        found += more
    return found
