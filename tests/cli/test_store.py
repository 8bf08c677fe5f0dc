"""Commands on a whole store: stats, verify, doctor, reindex; and stores that cannot be used."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem.testing import tiny_bundle
from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli, bundle

COMMANDS = (
    ("recall", "tea"),
    ("show", 1),
    ("list",),
    ("forget", 1),
    ("update", 1, "--text", "x"),
    ("stats",),
    ("users",),
    ("sessions",),
    ("verify",),
    ("reindex",),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Cli(tmp_path_factory.mktemp("filled"))
    made.ok("add", "I like tea", "The train leaves at 9:40", "Porto", "--user", "ana")
    return made.store


@pytest.fixture
def cli(tmp_path: Path, filled: Path) -> Cli:
    made = Cli(tmp_path)
    shutil.copytree(filled, made.store)
    return made


def damage(cli: Cli) -> None:
    with closing(sqlite3.connect(cli.store / "memory.db")) as database, database:
        database.execute("UPDATE chunks SET text_hash = zeroblob(32) WHERE id = 2")


def test_verify_repairs(cli: Cli) -> None:
    assert cli.ok("verify", "--repair") == "no damage: nothing was changed\n"
    damage(cli)
    assert "leave out the rest" in cli.error(ExitCode.INPUT, "verify", "--repair", "--user", "ana")
    shown = cli.ok("verify", "--repair")
    assert "#2 is in quarantine now: " in shown
    assert shown.endswith("mended\n")
    shown = cli.ok("verify")
    assert shown.startswith("#2 is in quarantine: ")
    assert shown.endswith("no damage: 2 memories decoded byte for byte\n")
    assert [one["id"] for one in cli.json("verify")["quarantined"]] == [2]
    assert cli.ok("list", "--quiet").split() == ["1", "3"]
    cli.ok("forget", 2, "--yes")
    assert cli.json("verify")["quarantined"] == []


def test_verify_repairs_what_is_derived(cli: Cli) -> None:
    with closing(sqlite3.connect(cli.store / "memory.db")) as database, database:
        database.execute("UPDATE chunks SET key = zeroblob(42) WHERE id = 2")
    found = cli.json("verify", "--repair")
    assert (found["ok"], found["embedded"], found["quarantined"]) == (True, [2], [])
    assert cli.ok("verify", "--repair", "--quiet") == ""


def test_alone_it_shows_the_store_and_what_to_do(cli: Cli) -> None:
    cli.ok("add", "Bo likes tea", "--user", "bo")
    shown = cli.ok()
    assert shown.startswith(f"{cli.store}: 4 memories of 2 users, the last added 2")
    assert "agentmem recall QUESTION" in shown
    assert "agentmem --help" in shown


def test_alone_without_memories_it_says_how_to_begin(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    shown = cli.ok()
    assert shown.startswith(f"{cli.store}: no memories yet\n")
    assert "agentmem add TEXT" in shown
    assert not cli.store.exists()
    cli.ok("add", "tea")
    cli.ok("forget", 1, "--yes")
    assert "no memories yet" in cli.ok()
    (cli.store / "memory.db").write_bytes(b"x" * 4096)
    assert cli.run().exit_code == ExitCode.STORE


def test_sessions(cli: Cli) -> None:
    assert cli.ok("sessions") == "no sessions yet\n"
    cli.ok("add", "I like figs", "--user", "ana", "--session", "monday")
    cli.ok("add", "I like tea", "And rye", "--user", "bo", "--session", "friday")
    found = cli.json("sessions")
    assert [(one["session_id"], one["user_id"], one["memories"]) for one in found] == [
        ("friday", "bo", 2),
        ("monday", "ana", 1),
    ]
    assert cli.ok("sessions", "--user", "ana", "--quiet") == "monday\n"
    assert "friday" in cli.ok("sessions")


def test_stats(cli: Cli) -> None:
    found = cli.json("stats")
    assert (found["memories"], found["sources"], found["scopes"]) == (3, 3, 1)
    assert found["fidelity"][-1] == [1.0, 3]
    shown = cli.ok("stats")
    for word in (
        "memories",
        "positions",
        "latents",
        "patches",
        "embeddings",
        "bytes of latents",
        "tiny",
    ):
        assert word in shown
    assert shown.splitlines()[-1].split() == ["exact", "█" * 40, "3"]
    assert cli.ok("stats", "--quiet") == "3\n"


def test_stats_of_an_empty_store(cli: Cli) -> None:
    cli.ok("forget", "--user", "ana", "--yes")
    assert "memories     0" in cli.ok("stats")
    assert cli.json("stats")["bytes_per_token"] == 0.0


def test_verify_a_sound_store(cli: Cli) -> None:
    assert cli.ok("verify") == "no damage: 3 memories decoded byte for byte\n"
    assert cli.json("verify") == {
        **{"ok": True, "checked": 3, "damage": [], "decoded": True},
        "quarantined": [],
    }
    assert cli.ok("verify", "--no-decode") == "no damage: 3 memories not decoded\n"
    assert cli.json("verify", "--no-decode")["decoded"] is False
    assert cli.ok("verify", "--quiet") == ""


def test_verify_names_what_is_damaged(cli: Cli) -> None:
    damage(cli)
    shown = cli.run("verify")
    assert shown.exit_code == ExitCode.DAMAGE
    assert shown.stdout.startswith("#2: ")
    output = cli.run("verify", "--json")
    assert output.exit_code == ExitCode.DAMAGE
    assert [item["id"] for item in json.loads(output.stdout)["damage"]] == [2]
    assert cli.run("verify", "--quiet").stdout == "2\n"
    assert "memory 2" in cli.error(ExitCode.DAMAGE, "show", 2)
    assert cli.ok("show", 1, "--quiet") == "I like tea"


def test_verify_without_decoding_checks_rows(cli: Cli) -> None:
    with closing(sqlite3.connect(cli.store / "memory.db")) as database, database:
        other = "SELECT latents, patch FROM chunks WHERE id = 3"  # sound, but of another text
        database.execute(f"UPDATE chunks SET (latents, patch) = ({other}) WHERE id = 2")
    assert cli.run("verify", "--no-decode").stdout.startswith("#2: ")
    assert cli.run("verify").exit_code == ExitCode.DAMAGE
    damage(cli)  # of a hash of a text, which the checksums of its source tell
    assert cli.run("verify", "--no-decode").stdout.startswith("#2: ")
    with closing(sqlite3.connect(cli.store / "memory.db")) as database, database:
        database.execute("UPDATE chunks SET key = x'00' WHERE id = 3")
    found = cli.run("verify", "--no-decode")
    assert found.exit_code == ExitCode.DAMAGE
    assert {line[:4] for line in found.stdout.splitlines()[:-1]} == {"#2: ", "#3: "}
    assert found.stdout.endswith("; 3 memories not decoded\n")


def test_doctor_finds_all_well(cli: Cli) -> None:
    output = cli.json("doctor")
    assert output["ok"] is True
    checks = {check["name"]: check for check in output["checks"]}
    assert {check["status"] for check in checks.values()} <= {"ok", "warn"}
    assert "torch" in checks["versions"]["detail"]
    assert "3 memories" in checks["store"]["detail"]
    assert "tiny" in checks["model bundle"]["detail"]
    assert {"full-text search", "vector index", "index cache", "disk"} <= set(checks)
    shown = cli.ok("doctor")
    assert len(shown.splitlines()) == len(checks)
    assert all(line.startswith(("ok ", "warn ")) for line in shown.splitlines())


def test_doctor_works_without_a_store(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    checks = {check["name"]: check for check in cli.json("doctor")["checks"]}
    assert checks["store"]["status"] == "warn"
    assert "no store" in checks["store"]["detail"]
    assert not cli.store.exists()


@pytest.mark.parametrize("what", ["store", "bundle"])
def test_doctor_fails_on_what_is_broken(cli: Cli, tmp_path: Path, what: str) -> None:
    args: list[object] = []
    if what == "store":
        (cli.store / "memory.db").write_bytes(b"no database at all" * 100)
    else:
        copy = shutil.copytree(bundle(), tmp_path / "bundle")
        with (copy / "keys" / "model.safetensors").open("ab") as file:
            file.write(b"x")
        args = ["--model", copy]
    result = cli.run("doctor", "--quiet", *args)
    assert result.exit_code == ExitCode.DAMAGE
    assert f"fail {'store' if what == 'store' else 'model bundle'}: " in result.stdout
    assert result.stderr == ""


def test_reindex_changes_no_result(cli: Cli) -> None:
    before = cli.json("recall", "train")["hits"]
    shutil.rmtree(cli.store / "index", ignore_errors=True)
    assert cli.json("reindex") == {"memories": 3}
    assert cli.json("recall", "train")["hits"] == before
    assert cli.ok("reindex") == "reindexed 3 memories\n"


@pytest.mark.parametrize("command", COMMANDS, ids=[str(command[0]) for command in COMMANDS])
def test_only_add_makes_a_store(tmp_path: Path, command: tuple[object, ...]) -> None:
    cli = Cli(tmp_path)
    message = cli.error(ExitCode.NOT_FOUND, *command)
    assert str(cli.store) in message
    assert "`agentmem add` creates one" in message
    assert not cli.store.exists()


def test_a_place_that_is_no_store(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    cli.error(ExitCode.STORE, "add", "tea", "--store", tmp_path)
    cli.error(ExitCode.STORE, "add", "tea", "--store", tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_another_bundle_is_refused(cli: Cli, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", seed=1)
    cli.error(ExitCode.MODEL, "recall", "tea", "--model", other)
    assert "nowhere" in cli.error(ExitCode.NOT_FOUND, "list", "--model", tmp_path / "nowhere")


def test_the_option_wins_over_the_environment(cli: Cli, tmp_path: Path) -> None:
    cli.ok("add", "elsewhere", "--store", f"sqlite:///{tmp_path / 'other.db'}")
    assert cli.json("stats")["memories"] == 3
    assert cli.json("stats", "-s", f"sqlite:///{tmp_path / 'other.db'}")["memories"] == 1
