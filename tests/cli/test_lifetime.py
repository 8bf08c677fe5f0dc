"""Ids of the caller's, memories that expire, and lists in pages, on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem_cli.exits import ExitCode
from agentmem_storage.sql.schema import sums
from tests.support.cli import Cli, bundle


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def expire(cli: Cli, id: int) -> None:
    """As if its time had come."""
    with Memory(cli.store, model=bundle()) as memory, memory._store._database.write() as connection:
        connection.exec_driver_sql("UPDATE sources SET expires_at = 1 WHERE id = ?", (id,))
        sums.write(connection, [id], damaged={})


def test_an_id_is_put_shown_and_forgotten(cli: Cli) -> None:
    cli.ok("add", "The code is 1.", "--id", "code", "--user", "ana")
    shown = cli.ok("add", "The code is 2.", "--id", "code", "--user", "ana")
    assert "replaced  2: in the place of what had the same id" in shown
    assert "your id   code" in cli.ok("show", 2)
    assert cli.json("show", 2)["external_id"] == "code"
    assert "forgot 1 memory: 2" in cli.ok("forget", "--id", "code", "--user", "ana")
    assert "'code'" in cli.error(ExitCode.NOT_FOUND, "forget", "--id", "code")


def test_messages_of_a_file_have_their_own(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    for text in ("first", "second"):
        notes = [{"role": "user", "content": f"{text} {n}", "external_id": f"{n}"} for n in (1, 2)]
        path.write_text("".join(json.dumps(note) + "\n" for note in notes))
        done = cli.json("add", "--file", path)
    assert done["replaced"] == done["ids"] == [3, 4]
    assert "external_id" in cli.error(ExitCode.USAGE, "add", "--file", path, "--id", "x")


@pytest.mark.parametrize(
    ("ttl", "life"),
    [
        ("90", timedelta(seconds=90)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_time_to_live(cli: Cli, ttl: str, life: timedelta) -> None:
    before = datetime.now(UTC)
    cli.ok("add", "Hello.", "--ttl", ttl)
    after = datetime.now(UTC)
    expires_at = datetime.fromisoformat(cli.json("show", 1)["expires_at"])
    assert before + life <= expires_at <= after + life
    assert "expires   " in cli.ok("show", 1)


@pytest.mark.parametrize("ttl", ["soon", "-1", "1.5", "1w", "", "9" * 400 + "d"])
def test_what_is_no_length_of_time(cli: Cli, ttl: str) -> None:
    assert "--ttl" in cli.error(ExitCode.USAGE, "add", "Hello.", "--ttl", ttl)


def test_gc_erases_what_has_expired(cli: Cli) -> None:
    cli.ok("add", "The qwertzcode is 7714.", "--expires", "2999-01-01T00:00Z")
    cli.ok("add", "Stays.")
    assert cli.ok("gc") == "nothing has expired\n"
    assert cli.json("update", 2, "--ttl", "5d")["ids"] == [2]
    expire(cli, 1)
    assert [json.loads(line)["id"] for line in cli.ok("list", "--json").splitlines()] == [2]
    assert cli.ok("gc", "--dry-run") == "would forget 1 memory: 1\n"
    assert cli.ok("gc") == "forgot 1 memory: 1\n"
    assert not any(b"qwertz" in file.read_bytes() for file in cli.store.rglob("*.db*"))
    assert cli.json("gc")["ids"] == []


def test_pages(cli: Cli) -> None:
    cli.ok("add", *(f"text {n}" for n in range(5)))
    assert cli.ok("list", "--limit", 2, "--after", 2, "--quiet").split() == ["3", "4"]
    assert cli.ok("list", "--limit", 2, "--after", 4, "--newest", "--quiet").split() == ["3", "2"]
    assert cli.run("list", "--limit", 2, "--after", 2).stderr == (
        "1 more; --after 4 continues, --limit 0 lists all\n"
    )
    assert "99" in cli.error(ExitCode.NOT_FOUND, "list", "--after", 99)
