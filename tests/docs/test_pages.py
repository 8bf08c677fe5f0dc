"""README and docs as a whole: short where they should be, complete, with current figures."""

from __future__ import annotations

import typer

import agentmem
from agentmem import errors
from agentmem_cli.app import app
from agentmem_cli.exits import ExitCode
from benchmarks.report.tables import update_tables
from tests.support.markdown import PAGES, ROOT

RESULTS = ROOT / "benchmarks" / "results"
# Errors that are raised only as one of their kinds.
ROOTS = ("AgentMemError", "StoreError")


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9 * 1024


def test_tables_come_from_the_result_files() -> None:
    for page in ("README.md", "docs/benchmarks.md", "docs/security.md"):
        assert update_tables(ROOT / page, RESULTS, check=True) == ()


def test_every_error_and_exit_code_is_described() -> None:
    described = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    reference = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        assert f"::: agentmem.errors.{name}\n" in reference
    assert all(f"| `{name}`" in described for name in errors.__all__ if name not in ROOTS)
    assert all(f"| {code:d} | " in described for code in ExitCode)


def test_every_public_name_is_in_the_reference() -> None:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name in agentmem.__all__:
        path = "agentmem.errors.AgentMemError" if name == "AgentMemError" else f"agentmem.{name}"
        assert name == "__version__" or f"::: {path}\n" in text


def test_every_command_is_named() -> None:
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    for command in typer.main.get_command(app).commands:
        assert any(f"agentmem {command}" in page for page in pages), command
