"""The whole tree of commands: help texts, speed, and nothing heavy on the way to them."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agentmem._version import __version__
from agentmem_cli.app import app
from agentmem_cli.exits import MEANINGS, ExitCode
from tests.support.cli import Cli

Completed = subprocess.CompletedProcess[bytes]
HEAVY = ("torch", "transformers", "tokenizers", "sqlalchemy", "matplotlib", "numpy", "faiss")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


TREE = list(walk(typer.main.get_command(app)))


def test_the_commands_are_there() -> None:
    assert {" ".join(path) for path, command in TREE if not hasattr(command, "commands")} == {
        *("add", "recall", "ask", "chat", "show", "list", "forget", "update"),
        *("stats", "verify", "doctor", "reindex"),
        *("model show", "model verify"),
        *("train tokenizer", "train autoencoder", "train embedder", "train bundle"),
        "train reranker",
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


def test_the_root_help_tells_the_exit_codes() -> None:
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
    [[], ["model"], ["train"], ["eval"]],
    ids=["root", "model", "train", "eval"],
)
def test_a_group_alone_shows_its_help(args: list[str]) -> None:
    shown = CliRunner().invoke(app, args)
    assert shown.exit_code == ExitCode.USAGE
    assert "Usage:" in shown.stdout
    assert shown.stderr == ""


def test_version() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"agentmem {__version__}\n")


def timed(start: Callable[[], Completed]) -> tuple[Completed, float, float]:
    """A process that ended, how long that took, and how long it was at work: seconds."""

    def at_work() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    began, before = time.perf_counter(), at_work()
    done = start()
    return done, time.perf_counter() - began, at_work() - before


def test_help_is_fast(tmp_path: Path) -> None:
    """Half a second, or on a busy machine half a second of work without waiting for anything."""
    cli, seen, bare = Cli(tmp_path), [], [sys.executable, "-c", "pass"]
    for _ in range(5):
        _, start, _ = timed(lambda: subprocess.run(bare, capture_output=True, check=True))
        shown, took, work = timed(lambda: cli.process("--help"))
        assert shown.returncode == 0
        assert b"Usage: agentmem" in shown.stdout
        # Left alone, an interpreter starts in a fiftieth of a second.
        if work < 0.5 and took < max(0.5, 25 * start):
            return
        seen.append(f"{took:.2f} s ({work:.2f} s of work; a bare interpreter: {start:.2f} s)")
    pytest.fail(f"--help took {', '.join(seen)}")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from agentmem_cli.app import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "app(['add', '--help'], standalone_mode=False)\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert run.stderr == b""
