"""The command watch: a folder that the store follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_cli.content import Defaults
from agentmem_cli.exits import ExitCode
from agentmem_cli.watching import Changes, Watcher
from tests.support.cli import ROOT, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "cli")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "vault"
    put(made / "b.md", "# Bread\n\nRye.")
    put(made / "deep" / "a.txt", "Tea.")
    put(made / ".hidden" / "x.md", "hidden")
    put(made / "empty.md", " \n")
    return made


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def texts(cli: Cli, *options: Any) -> list[str]:
    lines = cli.ok("list", "--limit", 0, "--json", *options).splitlines()
    return [json.loads(line)["text"] for line in lines]


def once(cli: Cli, folder: Path, *options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli.ok("watch", folder, "--once", "--json", *options))
    return {key: value for key, value in found.items() if value}


def test_looking_once(cli: Cli, folder: Path) -> None:
    options = ("--user", "ana", "--meta", "from=vault")
    assert once(cli, folder, *options) == {"files": 2, "added": ["b.md", "deep/a.txt"]}
    assert once(cli, folder, *options) == {"files": 2}
    put(folder / "b.md", "# Bread\n\nWheat.")
    put(folder / "c.md", "Figs.")
    changes = {"files": 3, "added": ["c.md"], "changed": ["b.md"]}
    assert once(cli, folder, *options) == changes
    assert texts(cli, "--user", "ana", "--where", '{"from": "vault"}') == [
        "# Bread\n\nWheat.",
        "Tea.",
        "Figs.",
    ]
    assert b"Rye" not in (cli.store / "memory.db").read_bytes()
    assert texts(cli, "--where", '{"uri": "deep/a.txt"}') == ["Tea."]


def test_what_is_gone_is_forgotten_only_if_wanted(cli: Cli, folder: Path) -> None:
    once(cli, folder)
    cli.ok("add", "A note of its own.")
    cli.ok("add", "Rye of another user.", "--id", f"{folder}/b.md", "--user", "bo")
    (folder / "b.md").unlink()
    put(folder / "deep" / "a.txt", "")
    gone = ["b.md", "deep/a.txt"]
    assert once(cli, folder) == {"missing": gone}
    assert len(texts(cli)) == 4
    assert once(cli, folder, "--delete") == {"forgotten": gone}
    assert texts(cli) == ["A note of its own.", "Rye of another user."]
    assert once(cli, folder, "--delete") == {}
    assert "kept" not in cli.ok("watch", folder, "--once")


def test_two_folders_and_two_scopes_do_not_meet(cli: Cli, folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "vault2" / "b.md", "Other bread.")
    for one in (folder, tmp_path / "vault2"):
        once(cli, one, "--user", "ana", "--delete")
    once(cli, folder, "--delete")
    assert len(texts(cli)) == 5
    (folder / "b.md").unlink()
    assert once(cli, folder, "--user", "ana", "--delete")["forgotten"] == ["b.md"]
    assert sorted(texts(cli)) == ["# Bread\n\nRye.", "Other bread.", "Tea.", "Tea."]


def test_what_cannot_be_read_is_named_and_the_rest_is_stored(cli: Cli, folder: Path) -> None:
    once(cli, folder)
    (folder / "b.md").write_bytes(b"\xff\xfe\xff")
    put(folder / "c.md", "Figs.")
    run = cli.run("watch", folder, "--once", "--delete")
    assert run.exit_code == ExitCode.INPUT
    assert "unreadable: b.md: " in run.stdout
    assert texts(cli) == ["# Bread\n\nRye.", "Tea.", "Figs."]
    assert cli.run("watch", folder / "b.md").exit_code == ExitCode.USAGE
    assert cli.run("watch", folder, "--every", 0).exit_code == ExitCode.USAGE


class Looks:
    """A watcher with a memory of its own, asked as often as a test likes."""

    def __init__(self, folder: Path, memory: Memory, *, delete: bool) -> None:
        self._watcher = Watcher(memory, folder, Defaults({}, None, None), delete=delete)

    def __call__(self) -> dict[str, Any]:
        found = self._watcher.look(lambda *_: None)
        assert isinstance(found, Changes)
        told = {key: value for key, value in found.to_dict().items() if value and key != "files"}
        assert bool(found) == bool(told)
        return told


@pytest.fixture
def memory(model: ModelBundle) -> Any:
    with Memory(":memory:", model=model) as opened:
        yield opened


def test_looking_again_reads_what_changed_only(
    folder: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Looks(folder, memory, delete=True)
    assert look() == {"added": ["b.md", "deep/a.txt"]}
    added: list[Any] = []
    monkeypatch.setattr(memory, "add", added.append)
    assert look() == {}
    assert added == []
    monkeypatch.undo()
    put(folder / "b.md", "# Bread\n\nWheat and rye.")
    (folder / "deep" / "a.txt").rename(folder / "moved.txt")
    assert look() == {"added": ["moved.txt"], "changed": ["b.md"], "forgotten": ["deep/a.txt"]}
    put(folder / "empty.md", "No more.")
    put(folder / "b.md", "")
    assert look() == {"added": ["empty.md"], "forgotten": ["b.md"]}
    assert look() == {}


def test_what_is_told_is_told_once(folder: Path, memory: Memory) -> None:
    look = Looks(folder, memory, delete=False)
    look()
    (folder / "b.md").rename(folder.parent / "b.md")
    (folder / "deep" / "a.txt").write_bytes(b"\xff")
    first = look()
    assert (first["missing"], first["unreadable"][0]["path"]) == (["b.md"], "deep/a.txt")
    assert look() == {}
    (folder.parent / "b.md").rename(folder / "b.md")
    put(folder / "deep" / "a.txt", "Tea and figs.")
    assert look() == {"changed": ["deep/a.txt"]}
    (folder / "b.md").unlink()
    assert look() == {"missing": ["b.md"]}


def test_a_file_that_can_be_read_again(
    folder: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which changes neither its time nor its size: it was never looked at again."""

    def refuse(file: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(file))

    look = Looks(folder, memory, delete=False)
    monkeypatch.setattr("agentmem.ingest.importers.documents.has_no_text", refuse)
    assert [one["path"] for one in look()["unreadable"]] == [
        *("b.md", "empty.md", "deep/a.txt"),
    ]
    assert look() == {}
    monkeypatch.undo()
    assert look() == {"added": ["b.md", "deep/a.txt"]}


def test_a_folder_that_is_gone_or_cannot_be_read_forgets_nothing(
    folder: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Looks(folder, memory, delete=True)
    look()
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert look() == {"unreadable": [{"path": str(folder / "deep"), "why": "Permission denied"}]}
    assert look() == {}
    monkeypatch.undo()
    folder.rename(folder.parent / "moved")
    with pytest.raises(InputError, match="gone; nothing was forgotten"):
        look()
    assert memory.count() == 2


def test_it_follows_changes_until_it_is_interrupted(cli: Cli, folder: Path) -> None:
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli"))
    command = [sys.executable, "-m", "agentmem", "watch", str(folder), "--every", "0.1", "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, **cli.environment, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite in the background ignores interruptions, and its children would too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as going:
        assert going.stdout is not None
        assert json.loads(going.stdout.readline())["added"] == ["b.md", "deep/a.txt"]
        put(folder / "c.md", "Figs.")
        assert json.loads(going.stdout.readline())["added"] == ["c.md"]
        going.send_signal(signal.SIGINT)
        rest, said = going.communicate(timeout=240)
    assert (going.returncode, rest) == (ExitCode.OK, "")
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    assert texts(cli) == ["# Bread\n\nRye.", "Tea.", "Figs."]
