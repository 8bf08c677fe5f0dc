"""Support for tests of the command line: a runner, a tiny bundle, and a terminal."""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import typer.testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from agentmem.testing import tiny_bundle
from agentmem_cli.app import app

ROOT = Path(__file__).parents[2]


COMMANDS = get_command(app)


def _commands(of: typer.Typer) -> object:
    """What runs a command line: made once, because that takes longer than most of its commands."""
    if of is not app:
        return get_command(of)
    COMMANDS.debug = False  # as in a new process
    return COMMANDS


typer.testing._get_command = _commands


@cache
def bundle() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="agentmem-cli-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return tiny_bundle(folder / "bundle")


class Cli:
    """Runs commands on one store; `run` in this process, `process` in one of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.environment = {
            "AGENTMEM_STORE": str(self.store),
            "AGENTMEM_MODEL": str(bundle()),
            # No language model, whatever is installed on this machine.
            "AGENTMEM_MODELS": str(folder / "models"),
        }

    def run(self, *args: Any, input: str | bytes | None = None) -> Result:
        return CliRunner(env=self.environment).invoke(app, list(map(str, args)), input=input)

    def ok(self, *args: Any, input: str | bytes | None = None) -> str:
        result = self.run(*args, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *args: Any) -> Any:
        return json.loads(self.ok(*args, "--json"))

    def error(self, code: int, *args: Any, input: str | bytes | None = None) -> str:
        """The one line on standard error of a command that fails with ``code``."""
        result = self.run(*args, input=input)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def process(
        self, *args: Any, input: bytes | None = None, stdout: Any = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        paths = os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli"))
        return subprocess.run(
            [sys.executable, "-m", "agentmem", *map(str, args)],
            env={**os.environ, **self.environment, "PYTHONPATH": paths},
            input=input,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=240,
            check=False,
        )

    def terminal(self, monkeypatch: Any, *args: Any, typed: bytes = b"") -> tuple[int, str]:
        """Exit code and screen of a command whose three streams are a real terminal."""
        master, slave = os.openpty()
        os.write(master, typed)
        with (
            open(slave, "w", encoding="utf-8", closefd=False) as screen,
            open(slave, encoding="utf-8", closefd=False) as keyboard,
            monkeypatch.context() as patch,
        ):
            for name, value in {**self.environment, "TERM": "xterm-256color"}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", keyboard)
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            code = app(list(map(str, args)), prog_name="agentmem", standalone_mode=False)
        seen = b""
        while select.select([master], [], [], 0)[0]:
            seen += os.read(master, 65536)
        os.close(slave)
        os.close(master)
        return int(code), seen.decode()
