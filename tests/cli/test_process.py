"""Real processes: exit codes, streams and pipes as a shell sees them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


def test_a_pipe_is_stored_byte_for_byte_and_nothing_else_is_printed(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    text = "Grüße\r\n\x00 \x1b[31m 🍵\n".encode()
    added = cli.process("add", "--json", input=text)
    assert (added.returncode, added.stderr) == (0, b"")
    assert json.loads(added.stdout)["ids"] == [1]
    assert cli.run("show", 1, "--quiet").stdout_bytes == text


def test_errors_are_one_line_on_standard_error(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    bad = tmp_path / "run.toml"
    bad.write_text("steps = many", encoding="utf-8")
    for code, args in (
        (ExitCode.USAGE, ("recall",)),
        (ExitCode.USAGE, ("add", "--file", b"\xff.txt".decode("utf-8", "surrogateescape"))),
        (ExitCode.INPUT, ("train", "embedder", "--config", bad, "--corpus", tmp_path)),
    ):
        result = cli.process(*args)
        assert (result.returncode, result.stdout) == (code, b"")
        assert result.stderr.startswith(b"error: ")
        assert result.stderr.count(b"\n") == 1


def test_a_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        result = Cli(tmp_path).process("--help", stdout=nobody)
    assert (result.returncode, result.stderr) == (ExitCode.OK, b"")
