"""The option --key-file, and the backup of an encrypted store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.cli import COMMANDS, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_an_encrypted_store_is_made_used_copied_and_restored(cli: Cli, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    cli.run("add", "The train to Zanzibar leaves at 9:40", "--key-file", key)
    refused = cli.run("list")
    assert refused.exit_code == ExitCode.STORE
    assert "is encrypted" in refused.output
    key.write_bytes(bytes(32))
    assert "not the one" in cli.run("list", "--key-file", key).output
    key.write_bytes(bytes(range(32)))
    cli.environment["AGENTMEM_KEY_FILE"] = str(key)
    assert "Zanzibar" in cli.run("recall", "when does the train leave?").output
    assert "1 memory" in cli.run().output  # what `agentmem` alone shows
    assert cli.run("backup", tmp_path / "backup").exit_code == 0
    assert not (tmp_path / "backup" / "keys.db").exists()
    missing = cli.run("restore", tmp_path / "backup", tmp_path / "restored")
    assert missing.exit_code == ExitCode.STORE
    assert "keys.db" in missing.output
    shutil.copy(cli.store / "keys.db", tmp_path / "backup")
    assert cli.run("restore", tmp_path / "backup", tmp_path / "restored").exit_code == 0
    assert "Zanzibar" in cli.run("list", "--store", tmp_path / "restored").output
    assert cli.run("backup", tmp_path / "whole", "--with-keys").exit_code == 0
    assert cli.run("verify", "--store", tmp_path / "whole").exit_code == 0


def test_the_key_is_changed(cli: Cli, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(bytes(range(32)))
    new.write_bytes(bytes(32))
    cli.run("add", "The train to Zanzibar leaves at 9:40", "--key-file", old)
    assert "not the one of" in cli.error(ExitCode.STORE, "rekey", new, "--key-file", new)
    assert "has: give another" in cli.error(ExitCode.INPUT, "rekey", old, "--key-file", old)
    assert str(new) in cli.ok("rekey", new, "--key-file", old)
    assert "changed since" in cli.error(ExitCode.STORE, "list", "--key-file", old)
    assert "Zanzibar" in cli.ok("list", "--key-file", new)
    assert cli.json("rekey", old, "--key-file", new) == {"key_file": str(old)}
    assert cli.ok("rekey", new, "--key-file", old, "--quiet") == f"{new}\n"


def test_every_command_with_a_store_takes_the_key(tmp_path: Path) -> None:
    names = {
        name: {param.name for param in command.params}
        for name, command in COMMANDS.commands.items()
    }
    with_store = {name for name, params in names.items() if "store" in params}
    assert len(with_store) > 15
    assert {name for name, params in names.items() if "key_file" in params} == {
        *with_store,
        "restore",
    }
