"""Every code block of README and docs runs as it is, or states why it does not.

The blocks of a page run in order: Python in one namespace, shell blocks in this process, all in a
folder of their own that holds copies of `tests/docs/files`. A shell block is made of `agentmem`
commands; one that is meant to fail ends with ``# exit code N``. A block under ``<!-- output -->``
is what the block before it prints. One under ``<!-- needs: MODULE -->`` runs where it is installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentmem import Memory
from agentmem_cli.app import app
from tests.support.markdown import PAGES, ROOT, Block, blocks

FILES = Path(__file__).with_name("files")
EXECUTED = ("python", "bash")
# What a reader only looks at. A language that is not listed is a typing error.
SHOWN = ("json", "text", "toml")
# Blocks that need the network, a GPU, hours, a service or its client, or the reader's language
# model, which is not in the package. Raise it only with a reason.
MOST_NOT_EXECUTED = 29
# The variable for a store in PostgreSQL, in pages that have one.
DATABASE = "DATABASE_URL"

_EXIT_CODE = re.compile(r"#\s*exit code (\d+)\s*$")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_BLOCKS = [page for page in PAGES if any(b.language in EXECUTED for b in blocks(page))]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name)
def test_blocks_of_a_page_run_one_after_the_other(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    if DATABASE in page.read_text(encoding="utf-8"):
        monkeypatch.setenv(DATABASE, request.getfixturevalue("postgres").url(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AGENTMEM_STORE", str(tmp_path / "store"))
    with closing_memories() as names:
        printed: str | None = ""
        for block in blocks(page):
            if block.is_output:
                where = f"{name(page)}:{block.line}"
                assert printed is None or printed.strip() == block.code.strip(), where
            elif block.needs is not None and not is_installed(block.needs):
                printed = None
            elif block.not_executed is None and block.language == "python":
                # The line numbers of a traceback are then those of the page.
                code = "\n" * block.line + block.code
                exec(compile(code, str(page), "exec"), names)
                printed = capsys.readouterr().out
            elif block.not_executed is None and block.language == "bash":
                printed = "".join(run(page, block))


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package that it would be in
        return False


@contextlib.contextmanager
def closing_memories() -> Iterator[dict[str, Any]]:
    """A namespace for blocks, which need not show that each store is closed."""
    names: dict[str, Any] = {"__name__": "__docs__"}
    try:
        yield names
    finally:
        for value in names.values():
            if isinstance(value, Memory):
                value.close()


def run(page: Path, block: Block) -> Iterator[str]:
    for line in block.code.replace("\\\n", " ").splitlines():
        words = [os.path.expandvars(word) for word in shlex.split(line, comments=True)]
        if not words:
            continue
        where = f"{name(page)}:{block.line}: {line}"
        assert words[0] == "agentmem", f"{where}: mark the block as not executed, and say why"
        result = CliRunner().invoke(app, words[1:], prog_name="agentmem")
        expected = _EXIT_CODE.search(line)
        assert result.exit_code == (int(expected[1]) if expected else 0), (where, result.output)
        yield result.stdout


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_language_of_a_block_is_known(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*EXECUTED, *SHOWN), f"{name(page)}:{block.line}"


def test_few_blocks_are_not_executed_and_each_says_why() -> None:
    excused = [
        (f"{name(page)}:{block.line}", block.not_executed)
        for page in PAGES
        for block in blocks(page)
        if block.not_executed is not None
    ]
    assert all(reason for _, reason in excused), excused
    assert len(excused) <= MOST_NOT_EXECUTED, excused
