"""The command ask: what is found is read, answered from, and named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agentmem.hub import write_manifest
from agentmem.testing import tiny_bundle, tiny_reader
from agentmem_cli.exits import ExitCode
from tests.cli_support import Cli, bundle

TEXTS = ("My sister Marta lives in Porto", "The train to Lyon leaves at 9:40")
QUESTION = "where does Marta live?"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it says makes no sense, but depends on what it reads."""
    return tiny_reader("positions").save_pretrained(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that never learned to read vectors."""
    folder = tmp_path_factory.mktemp("bare")
    tiny_reader().parts.model.lm.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Cli(tmp_path_factory.mktemp("filled"))
    made.ok("add", TEXTS[0], "--user", "ana", "--at", "2026-01-05", "--name", "Ana")
    made.ok("add", TEXTS[1], "--user", "bob", "--at", "2026-03-05")
    return made.store


@pytest.fixture
def cli(tmp_path: Path, filled: Path) -> Cli:
    made = Cli(tmp_path)
    shutil.copytree(filled, made.store)
    return made


def test_people_get_the_answer_and_the_memories_it_was_read_from(cli: Cli, reader: Path) -> None:
    answer = cli.json("ask", QUESTION, "--reader", reader)["answer"]
    shown = cli.ok("ask", QUESTION, "--reader", reader)
    first = next(line for line in answer.splitlines() if line)
    assert shown.startswith(first[:3])
    assert re.search(r"^1 +2026-01-05 +Ana +My sister Marta lives in Porto *$", shown, re.MULTILINE)
    assert re.search(r"^2 +2026-03-05 +user +The train to Lyon", shown, re.MULTILINE)


def test_json_tells_what_was_read_and_how(cli: Cli, reader: Path) -> None:
    told = cli.json("ask", QUESTION, "--reader", reader, "-k", 1)
    assert told["question"] == QUESTION
    assert told["answer"]
    assert told["left_out"] == 0
    (memory,) = told["memories"]
    assert (memory["id"], memory["text"], memory["read_as"]) == (1, TEXTS[0], "vectors")


def test_quiet_prints_the_answer_alone(cli: Cli, reader: Path) -> None:
    answer = cli.json("ask", QUESTION, "--reader", reader)["answer"]
    assert cli.ok("ask", QUESTION, "--reader", reader, "--quiet") == answer + "\n"


def test_the_answer_comes_from_the_memories_of_the_scope(cli: Cli, reader: Path) -> None:
    told = {
        user: cli.json("ask", QUESTION, "--reader", reader, "--user", user)
        for user in ("ana", "bob")
    }
    assert [memory["id"] for memory in told["ana"]["memories"]] == [1]
    assert [memory["id"] for memory in told["bob"]["memories"]] == [2]
    assert told["ana"]["answer"] != told["bob"]["answer"]


def test_filters_hold(cli: Cli, reader: Path) -> None:
    for args, ids in (
        (("--since", "2026-02-01"), [2]),
        (("--until", "2026-02-01"), [1]),
        (("--where", '{"name": "Ana"}'), [1]),
    ):
        told = cli.json("ask", QUESTION, "--reader", reader, *args)
        assert [memory["id"] for memory in told["memories"]] == ids


def test_without_memories_nobody_makes_an_answer_up(cli: Cli, reader: Path) -> None:
    args = ("ask", QUESTION, "--reader", reader, "--user", "nobody")
    assert cli.ok(*args) == "nothing found\n"
    assert cli.json(*args) == {
        "question": QUESTION,
        "answer": None,
        "memories": [],
        "left_out": 0,
    }
    assert cli.ok(*args, "--quiet") == ""


def test_a_bare_language_model_reads_text(cli: Cli, bare: Path) -> None:
    told = cli.json("ask", QUESTION, "--reader", bare, "--user", "ana")
    assert [memory["read_as"] for memory in told["memories"]] == ["text"]
    assert told["answer"] != cli.json("ask", QUESTION, "--reader", bare, "--user", "bob")["answer"]


def test_what_does_not_fit_is_counted(cli: Cli, bare: Path) -> None:
    cli.ok("add", " ".join(f"number {n} is {n * n}" for n in range(400)))
    result = cli.run("ask", "which number?", "--reader", bare, "--json")
    assert result.exit_code == ExitCode.OK
    assert re.search(r"[1-9]\d* memor(y|ies) did not fit", result.stderr)


def test_the_reader_of_the_bundle_is_the_default(cli: Cli, reader: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(bundle(), whole)
    shutil.copytree(reader, whole / "reader")
    write_manifest(whole, "whole")
    told = cli.json("ask", QUESTION, "--model", whole)
    assert told == cli.json("ask", QUESTION, "--reader", reader)


def test_a_bundle_without_a_reader_says_what_to_do(cli: Cli) -> None:
    said = cli.error(ExitCode.NOT_FOUND, "ask", QUESTION)
    assert "without a reader" in said
    assert "--reader" in said


def test_a_folder_that_holds_no_reader_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no reader in" in cli.error(
        ExitCode.NOT_FOUND, "ask", QUESTION, "--reader", tmp_path / "empty"
    )
    assert "does not exist" in cli.error(
        ExitCode.USAGE, "ask", QUESTION, "--reader", tmp_path / "nowhere"
    )


def test_the_reader_of_another_bundle_is_refused(cli: Cli, tmp_path: Path) -> None:
    other = tiny_reader("slots", 1).save_pretrained(tmp_path / "other")
    said = cli.error(ExitCode.MODEL, "ask", QUESTION, "--reader", other)
    assert "reads memories of bundle 'tiny-1'" in said
    # With its bundle it is the store that does not fit.
    model = tiny_bundle(tmp_path / "bundle", seed=1)
    said = cli.error(ExitCode.MODEL, "ask", QUESTION, "--reader", other, "--model", model)
    assert "tiny-0" in said or "another" in said


def test_no_memories_to_read_are_refused(cli: Cli) -> None:
    assert "'-k'" in cli.error(ExitCode.USAGE, "ask", QUESTION, "-k", 0)


def test_a_blank_question_is_refused(cli: Cli, reader: Path) -> None:
    assert "blank" in cli.error(ExitCode.INPUT, "ask", " ", "--reader", reader)
