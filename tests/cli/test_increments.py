"""The commands increment and complete."""

from __future__ import annotations

from pathlib import Path

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


def test_increments_are_put_together_again(tmp_path: Path) -> None:
    cli, again = Cli(tmp_path), Cli(tmp_path / "again")
    for number, name in enumerate(("one", "two", "three")):
        cli.ok("add", f"note {number}", "--user", "ana")
        cli.ok("backup", tmp_path / name)
    for name, base in (("two", "one"), ("three", "two")):
        shown = cli.ok("increment", tmp_path / name, "--base", tmp_path / base)
        assert "is an increment" in shown
    target = again.store
    assert cli.ok("complete", tmp_path / "three", target, "--quiet") == f"{target}\n"
    assert again.json("stats")["memories"] == 3
    again.ok("verify")
    assert "exists already" in cli.error(ExitCode.INPUT, "complete", tmp_path / "two", target)
    assert "an increment" in cli.error(
        ExitCode.INPUT, "increment", tmp_path / "two", "--base", tmp_path / "one"
    )
