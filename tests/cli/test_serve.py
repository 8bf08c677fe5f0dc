"""The command serve: a real process, asked over a real connection, and told to stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentmem.errors import InputError
from agentmem.remote import RemoteMemory
from agentmem_cli.exits import ExitCode
from tests.support.cli import ROOT, Cli

SECRET = "0123456789abcdef" * 2


def test_what_is_served_is_stored(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[token]]\nname = "ana"\nsecret = "{SECRET}"\nuser_id = "ana"\n')
    tokens.chmod(0o600)
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli"))
    server = subprocess.Popen(
        [sys.executable, "-m", "agentmem", "serve", "--port", "0", "--tokens", str(tokens)],
        env={**os.environ, **cli.environment, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stderr.readline())
        assert found is not None
        with RemoteMemory(found[0], token=SECRET) as remote:
            remote.add("The boiler code is 7714.")
            with pytest.raises(InputError, match="bound to user_id='ana'"):
                remote.add("x", user_id="bo")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        server.stderr.close()  # type: ignore[union-attr]
    assert cli.ok("list", "--user", "ana").count("7714") == 1


def test_what_cannot_be_served(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert "give tokens" in cli.error(ExitCode.INPUT, "serve", "--host", "0.0.0.0")
    assert "rate=0.0" in cli.error(ExitCode.INPUT, "serve", "--rate", "0")
    assert "cannot read" in cli.error(ExitCode.INPUT, "serve", "--tokens", tmp_path / "none")
    assert "keep nothing" in cli.error(ExitCode.INPUT, "serve", "--store", ":memory:")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in cli.error(ExitCode.INPUT, "serve", "--port", port)
