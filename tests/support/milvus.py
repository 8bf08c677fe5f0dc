"""A real Milvus Lite for tests, as a server of its own on a port of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_PATIENCE_S = 300.0


class MilvusServer:
    """A server; every store with its embeddings in it has collections of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="milvus"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def index(self) -> str:
        """What a store is opened with."""
        return f"milvus+http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        program = [sys.executable, "-m", "milvus_lite.cmdline", "server"]
        place = ["--data-dir", str(self.folder / "data"), "--host", "127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*program, *place, "--port", str(self._port)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_PATIENCE_S)

    def stop(self) -> None:
        """Kill the server, and delete its files."""
        self.kill()
        shutil.rmtree(self.folder)

    def client(self) -> Any:
        """A client of its own, to look at what the server has."""
        from pymilvus import MilvusClient

        return MilvusClient(self.index.removeprefix("milvus+"), dedicated=True)

    def rows(self, store_id: str) -> dict[int, int]:
        """The chunks that the collections of a store have: their scopes, by id."""
        client = self.client()
        found: dict[int, int] = {}
        for name in client.list_collections():
            if store_id in name:
                client.load_collection(name)
                rows = client.query(
                    name, filter="id < 4611686018427387904", output_fields=["id", "scope"]
                )
                found |= {row["id"]: row["scope"] for row in rows}
        client.close()
        return found
