"""The whole command tree: help texts, and no heavy imports for --help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agentmem._version import __version__
from agentmem_cli.app import app
from agentmem_cli.exits import MEANINGS, ExitCode

HEAVY = ("torch", "transformers", "tokenizers", "sqlalchemy", "matplotlib", "numpy", "faiss")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


TREE = list(walk(typer.main.get_command(app)))


def test_the_commands_are_there() -> None:
    assert {" ".join(path) for path, command in TREE if not hasattr(command, "commands")} == {
        *("add", "recall", "ask", "chat", "show", "list", "forget", "gc", "update"),
        *("supersede", "history", "conflicts"),
        *("users", "sessions", "stats", "verify", "doctor", "reindex", "backup", "migrate", "mcp"),
        *("export", "import", "watch", "restore", "serve"),
        *("dossier", "audit", "certificate", "increment", "complete"),
        *("rekey", "purge"),
        *("model show", "model verify"),
        *("train tokenizer", "train autoencoder", "train embedder", "train encoder"),
        *("train bundle", "train reranker", "train reader", "train reader-data"),
        *("reader install", "reader show", "reader prepare"),
        *("eval fidelity", "eval recall"),
    }


@pytest.mark.parametrize(("path", "command"), TREE, ids=[" ".join(p) or "root" for p, _ in TREE])
def test_every_command_and_option_has_help(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    assert command.help.split("\n\n")[0].endswith(".")
    assert [param.name for param in command.params if not param.help] == []
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


def test_the_root_help_lists_the_exit_codes() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert set(MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"{code:>4} {MEANINGS[code]}" in shown


def test_the_plain_format_of_questions_is_documented() -> None:
    shown = CliRunner().invoke(app, ["eval", "recall", "--help"]).stdout
    for word in ('"messages"', '"questions"', '"evidence"', '"category"'):
        assert word in shown


@pytest.mark.parametrize(
    "args",
    [["model"], ["reader"], ["train"], ["eval"]],
    ids=["model", "reader", "train", "eval"],
)
def test_a_group_alone_shows_its_help(args: list[str]) -> None:
    shown = CliRunner().invoke(app, args)
    assert shown.exit_code == ExitCode.USAGE
    assert "Usage:" in shown.stdout
    assert shown.stderr == ""


def test_version() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"agentmem {__version__}\n")


def test_help_loads_nothing_heavy() -> None:
    """Which is what makes it fast, on any machine and however busy it is."""
    code = (
        "from agentmem_cli.app import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "app(['add', '--help'], standalone_mode=False)\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        timeout=240,
        check=True,
    )
    assert run.stdout.count(b"Usage: ") == 2
    assert run.stderr == b""


def test_a_command_imports_no_other() -> None:
    code = (
        "from agentmem_cli.app import COMMANDS, app\n"
        "app(['stats', '--help'], standalone_mode=False)\n"
        "modules = {target.partition(':')[0] for target in COMMANDS.values()} - {'store'}\n"
        "found = [name for name in modules if f'agentmem_cli.commands.{name}' in sys.modules]\n"
        "sys.stderr.write(' '.join(found))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        timeout=240,
        check=True,
    )
    assert b"Usage: " in run.stdout
    assert run.stderr == b""
