"""The commands supersede, history and conflicts, and the options of others that go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A store with three memories, the second of which supersedes the first."""
    made = Cli(tmp_path)
    made.ok("add", "I live in Paris", "--user", "ana", "--at", "2024-01-05")
    made.ok(
        "add",
        *("I moved to Rome", "--user", "ana", "--at", "2025-02-05", "--supersedes", 1),
    )
    made.ok("add", "I live for tea", "--user", "ana", "--at", "2025-03-05")
    return made


def test_recall_shows_what_supersedes_what(cli: Cli) -> None:
    shown = cli.ok("recall", "where do I live in Paris", "--mode", "lexical")
    assert shown.index("I moved to Rome") < shown.index("I live in Paris")
    assert "supersedes #1  " in shown
    assert "superseded by #2  " in shown
    asked = ("recall", "I live in Paris", "--mode", "lexical", "--quiet", "-k", 2)
    assert cli.ok(*asked).split() == ["2", "1"]
    assert cli.ok(*asked, "--prefer", "any").split()[0] == "1"
    assert cli.ok("recall", "my old home in Paris", "--mode", "lexical", "--quiet")[0] == "1"


def test_history_shows_all_from_the_first_on(cli: Cli) -> None:
    assert cli.ok("supersede", 2, 3) == "#3 supersedes #2\n"
    assert cli.ok("history", 2, "--quiet").split() == ["1", "2", "3"]
    lines = cli.ok("history", 3, "--user", "ana").splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "I live in Paris",
        "I moved to Rome",
        "I live for tea",
    ]
    assert [one["text"] for one in cli.json("history", 1)][1] == "I moved to Rome"


def test_it_can_be_undone(cli: Cli) -> None:
    assert cli.json("supersede", 1, 2, "--undo") == {
        "old": 1,
        "new": 2,
        "undone": True,
        "history": [2],
    }
    assert "nothing to undo" in cli.error(ExitCode.INPUT, "supersede", 1, 2, "--undo")


def test_wrong_ids_are_refused(cli: Cli) -> None:
    cli.error(ExitCode.INPUT, "supersede", 1, 1)
    assert "no memory of this scope" in cli.error(ExitCode.NOT_FOUND, "supersede", 99, 1)
    assert "not an id" in cli.error(ExitCode.USAGE, "supersede", "1.0", 2)
    cli.error(ExitCode.NOT_FOUND, "add", "x", "--supersedes", 1, "--user", "bob")
    file = cli.store.parent / "chat.jsonl"
    file.write_text('{"role": "user", "content": "x"}\n')
    assert "--supersedes" in cli.error(ExitCode.USAGE, "add", "-f", file, "--supersedes", 1)


def test_update_gives_a_new_time(cli: Cli) -> None:
    cli.ok("update", 2, "--at", "2025-01-31T12:00Z")
    assert cli.json("show", 2)["created_at"] == "2025-01-31T12:00:00+00:00"
    assert "--at" in cli.error(ExitCode.USAGE, "update", 2)


def test_no_conflicts_is_said(cli: Cli) -> None:
    assert cli.ok("conflicts", "--user", "bob") == "no conflicts\n"
