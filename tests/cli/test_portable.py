"""Commands that move memories: export and import of archives, and restore."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path / "one")
    made.ok("add", "I like tea", "The train leaves at 9:40", "--user", "ana")
    made.ok("add", "Porto", "--user", "bob")
    return made


def test_export_and_import(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "all.amem"
    assert "3 memories written to" in cli.ok("export", file)
    other = Cli(tmp_path / "two")
    assert other.ok("import", file) == "3 memories added\n"
    assert other.ok("import", file) == "0 memories added; 3 messages known already\n"
    assert other.json("import", file)["duplicates"] == 3
    assert other.ok("import", file, "--quiet") == "0\n"
    assert other.ok("export", tmp_path / "again.amem", "--quiet") == f"{tmp_path}/again.amem\n"
    assert (tmp_path / "again.amem").read_bytes() == file.read_bytes()


def test_export_of_a_part(cli: Cli, tmp_path: Path) -> None:
    parts: list[tuple[tuple[Any, ...], int]] = [
        (("--user", "ana"), 2),
        (("--where", '{"user_id": "bob"}'), 1),
        (("--without", '{"user_id": "ana"}'), 1),
        (("--until", "2001-01-01"), 0),
    ]
    for number, (options, count) in enumerate(parts):
        assert cli.json("export", tmp_path / f"{number}.amem", *options)["memories"] == count


def test_encrypted(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmem_storage.archive.file.COST", 10)
    file, secret = tmp_path / "sealed.amem", tmp_path / "secret"
    secret.write_text("a café\nsecond line\n", encoding="utf-8")
    assert "encrypted" in cli.ok("export", file, "--passphrase-file", secret)
    other = Cli(tmp_path / "two")
    assert "--passphrase-file" in other.error(ExitCode.INPUT, "import", file)
    other.environment["AGENTMEM_PASSPHRASE"] = "another"
    assert "passphrase is another one" in other.error(ExitCode.INPUT, "import", file)
    other.environment["AGENTMEM_PASSPHRASE"] = "a café"
    assert other.ok("import", file) == "3 memories added\n"
    secret.write_text("\n")
    assert "is empty" in cli.error(
        ExitCode.INPUT, "export", tmp_path / "x.amem", "--passphrase-file", secret
    )


def test_the_passphrase_is_asked_for(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem_storage.archive.file.COST", 10)
    file, asked = tmp_path / "sealed.amem", []

    def prompt(text: str, **how: Any) -> str:
        asked.append((text, how["hide_input"], how["confirmation_prompt"]))
        return "abc"

    # The real one opens the terminal of the process, past the streams of this one.
    monkeypatch.setattr("typer.prompt", prompt)
    code, screen = cli.terminal(monkeypatch, "export", file, "--encrypt")
    assert (code, "encrypted" in screen) == (0, True)
    code, screen = cli.terminal(monkeypatch, "import", file)
    assert (code, "0 memories added" in screen) == (0, True)
    assert asked == [("Passphrase", True, True), ("Passphrase", True, False)]


def test_what_cannot_be_done(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "all.amem"
    cli.ok("export", file)
    assert "exists already" in cli.error(ExitCode.INPUT, "export", file)
    nowhere = tmp_path / "none" / "a.amem"
    assert f"the file at '{nowhere}'" in cli.error(ExitCode.STORE, "export", nowhere)
    file.write_bytes(file.read_bytes()[:-3])
    assert "cut off" in cli.error(ExitCode.INPUT, "import", file)
    assert "in memory" in cli.error(ExitCode.INPUT, "import", file, "--store", ":memory:")


def test_a_damaged_file_leaves_no_empty_store(cli: Cli, tmp_path: Path) -> None:
    file, other = tmp_path / "all.amem", Cli(tmp_path / "two")
    cli.ok("export", file)
    whole = file.read_bytes()
    for damaged in (whole[:-3], whole[:40], whole[:-9] + b"x" + whole[-8:]):
        file.write_bytes(damaged)
        assert str(file) in other.error(ExitCode.INPUT, "import", file)
        assert not other.store.exists()
    other.store.mkdir(parents=True)
    other.error(ExitCode.INPUT, "import", file)
    assert not any(other.store.iterdir())
    file.write_bytes(whole)
    assert other.ok("import", file) == "3 memories added\n"


def test_restore(cli: Cli, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    cli.ok("backup", backup)
    assert "3 memories restored to" in cli.ok("restore", backup, tmp_path / "new")
    other = Cli(tmp_path)
    other.environment["AGENTMEM_STORE"] = str(tmp_path / "new")
    assert other.json("stats")["memories"] == 3
    other.environment["AGENTMEM_STORE"] = str(backup)
    assert other.json("stats")["memories"] == 3
    (tmp_path / "empty").mkdir()
    shown = cli.ok("restore", backup, tmp_path / "empty", "--no-decode", "--quiet")
    assert shown == f"{tmp_path}/empty\n"
    assert cli.json("restore", backup, tmp_path / "third")["memories"] == 3


def test_restore_refuses(cli: Cli, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    cli.ok("backup", backup)
    assert "exists already" in cli.error(ExitCode.INPUT, "restore", backup, cli.store)
    (tmp_path / "empty").mkdir()
    cli.error(ExitCode.NOT_FOUND, "restore", tmp_path / "empty", tmp_path / "new")
    with closing(sqlite3.connect(backup / "memory.db")) as database, database:
        database.execute("UPDATE chunks SET text_hash = zeroblob(32) WHERE id = 2")
    for options in ((), ("--no-decode",)):
        said = cli.error(ExitCode.DAMAGE, "restore", backup, tmp_path / "new", *options)
        assert "is damaged, and nothing was restored" in said
    assert not (tmp_path / "new").exists()
