"""The command ask: an answer from memory, or the memories that may contain it."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentmem import Memory
from agentmem.chat.answerers import Answer, Citation
from agentmem.models.reader.reader import StatesReader
from agentmem.models.reader.saving import save_reader
from agentmem_cli.answering import show_answer
from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli, bundle
from tests.support.language_models import reading_model, save_lm, tiny_lm
from tests.support.llm import fake_llm

MISSING = "no answer, only the memories found"
TEXTS = ("My sister Marta lives in Porto", "The train to Lyon leaves at 9:40")
QUESTION = "where does Marta live?"


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


def test_people_see_the_memories_and_that_there_is_no_reader(cli: Cli) -> None:
    result = cli.run("ask", QUESTION)
    assert result.exit_code == ExitCode.OK
    assert [line.strip() for line in result.stdout.splitlines()] == [
        f"#1  2026-01-05  Ana: {TEXTS[0]}",
        f"#2  2026-03-05  user: {TEXTS[1]}",
    ]
    assert MISSING in result.stderr
    assert "agentmem reader install smollm2" in result.stderr


def test_a_long_memory_is_shown_in_full(cli: Cli) -> None:
    long = " ".join(f"number {n} is {n * n}" for n in range(12))
    cli.ok("add", long, "--user", "cleo")
    shown = cli.ok("ask", "which number?", "--user", "cleo")
    assert long in re.sub(r"\s+", " ", shown)


def test_json_has_the_memories_and_no_answer(cli: Cli) -> None:
    output = cli.json("ask", QUESTION, "-k", 1)
    assert (output["question"], output["answer"]) == (QUESTION, None)
    (memory,) = output["memories"]
    assert (memory["id"], memory["text"]) == (1, TEXTS[0])


def test_quiet_prints_the_texts_alone(cli: Cli) -> None:
    result = cli.run("ask", QUESTION, "-k", 1, "--quiet")
    assert (result.stdout, result.stderr) == (TEXTS[0] + "\n", "")


def test_scope_and_filters_hold(cli: Cli) -> None:
    for args, ids in (
        (("--user", "ana"), [1]),
        (("--user", "bob"), [2]),
        (("--since", "2026-02-01"), [2]),
        (("--until", "2026-02-01"), [1]),
        (("--where", '{"name": "Ana"}'), [1]),
    ):
        output = cli.json("ask", QUESTION, *args)
        assert [memory["id"] for memory in output["memories"]] == ids


def test_without_memories_nothing_is_made_up(cli: Cli) -> None:
    args = ("ask", QUESTION, "--user", "nobody")
    result = cli.run(*args)
    assert (result.stdout, result.stderr) == ("nothing found\n", "")
    assert cli.json(*args) == {
        "question": QUESTION,
        "answer": None,
        "confidence": None,
        "relevance": 0.0,
        "citations": [],
        "memories": [],
    }
    assert cli.ok(*args, "--quiet") == ""


def test_no_memories_to_find_are_refused(cli: Cli) -> None:
    assert "'-k'" in cli.error(ExitCode.USAGE, "ask", QUESTION, "-k", 0)


def test_a_blank_question_is_refused(cli: Cli) -> None:
    assert "blank" in cli.error(ExitCode.INPUT, "ask", " ")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readers")
    save_lm(root / "models" / "tiny", max_position_embeddings=2048)
    save_reader(
        reading_model(tiny_lm(max_position_embeddings=2048), language_model="test/tiny"),
        root / "reader",
    )
    return root


def test_a_reader_answers_from_the_memories_found(cli: Cli, reader: Path) -> None:
    cli.environment["AGENTMEM_MODELS"] = str(reader / "models")
    args = ("ask", QUESTION, "--reader", reader / "reader")
    output = cli.json(*args)
    assert 0 <= output["confidence"] <= 1
    ids = {memory["id"] for memory in output["memories"]}
    assert ids == {1, 2}
    assert {citation["id"] for citation in output["citations"]} <= ids
    if output["answer"] is None:
        assert cli.ok(*args, "--quiet") == ""
    else:
        assert cli.ok(*args, "--quiet").strip() == output["answer"].strip()


def test_memories_are_read_ahead_and_once(
    cli: Cli, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    usual = StatesReader._made

    def spy(reader: StatesReader, memories: list[Any]) -> list[bytes]:
        made.append(len(memories))
        return usual(reader, memories)

    monkeypatch.setattr(StatesReader, "_made", spy)
    cli.environment["AGENTMEM_MODELS"] = str(reader / "models")
    cli.ok("add", "and what was asked", "--user", "ana", "--meta", "asked=true")
    how = ("--reader", reader / "reader")
    done = cli.json("reader", "prepare", *how, "--user", "ana")
    assert done == {"made": 1, "present": 0, "left_out": 0, "damaged": []}
    ask = ("ask", QUESTION, *how, "--read-as", "states")
    first = cli.json(*ask)
    assert sum(made) == 2
    assert cli.json(*ask) == first
    assert sum(made) == 2
    shown = cli.ok("reader", "prepare", *how)
    assert shown == "read 0 memories, 2 were ready already\n"
    assert cli.ok("reader", "prepare", *how, "--quiet") == "0\n"
    assert cli.json("stats")["states_bytes"] > 0
    assert re.search(r"\nstates +[0-9.]+ KiB", cli.ok("stats"))
    assert cli.json("stats", "--user", "ana")["states_bytes"] is None
    made.clear()
    cli.json("ask", QUESTION, *how, "--read-as", "text")
    assert made == []
    whole = cli.json("stats")["states_bytes"]
    assert cli.json("reader", "prepare", *how, "--ratio", 4)["made"] == 2
    assert whole < cli.json("stats")["states_bytes"] < 2 * whole
    made.clear()
    cli.json(*ask, "--ratio", 4)
    assert sum(made) == 0


def test_what_a_reader_is(cli: Cli, reader: Path) -> None:
    cli.environment["AGENTMEM_MODELS"] = str(reader / "models")
    shown = cli.json("reader", "show", reader / "reader")
    assert shown == {
        "reader": str(reader / "reader"),
        "language_model": "test/tiny",
        "installed": str(reader / "models" / "tiny"),
    }


def test_a_way_to_read_that_there_is_not(cli: Cli) -> None:
    error = cli.error(ExitCode.USAGE, "ask", QUESTION, "--read-as", "fast")
    assert "'--read-as': 'fast' is not one of 'text', 'states'" in error


def test_a_ratio_is_for_states(cli: Cli) -> None:
    for how in ((), ("--read-as", "text")):
        error = cli.error(ExitCode.USAGE, "ask", QUESTION, *how, "--ratio", 4)
        assert "--ratio 4 is for states: add --read-as states" in re.sub(r"[\s│]+", " ", error)
    assert "'--ratio'" in cli.error(ExitCode.USAGE, "ask", QUESTION, "--ratio", 0)


@pytest.mark.parametrize("how", [("--read-as", "states"), ("--ratio", "4")])
def test_a_language_model_elsewhere_reads_text(cli: Cli, how: tuple[str, str]) -> None:
    error = re.sub(r"[\s│]+", " ", cli.error(ExitCode.USAGE, "ask", QUESTION, "--llm", "x:y", *how))
    assert f"{' '.join(how)} is for the reader on this machine, and --llm x:y answers" in error
    assert "leave one of them out" in error


def test_a_folder_without_a_reader_is_an_error(cli: Cli, tmp_path: Path) -> None:
    error = cli.error(ExitCode.NOT_FOUND, "ask", QUESTION, "--reader", tmp_path)
    assert "reader.json" in error


def test_another_language_model_answers_and_cites(cli: Cli) -> None:
    with fake_llm() as server:
        server.text = "In Porto [#1]."
        server.keyless = True
        args = ("ask", QUESTION, "--llm", f"{server.url}#tiny")
        output = cli.json(*args)
        assert output["answer"].startswith("In Porto")
        assert [citation["id"] for citation in output["citations"]] == [1]
        shown = cli.ok(*args)
    assert shown.splitlines()[0].startswith("In Porto")
    assert f"#1  2026-01-05  Ana: {TEXTS[0]}" in shown
    assert TEXTS[1] not in shown


def test_only_citations_near_the_best_are_shown(cli: Cli) -> None:
    for text in ("Marta likes tea", "Marta has a dog", "Marta is a nurse"):
        cli.ok("add", text, "--user", "ana")
    with Memory(cli.store, model=bundle()) as memory:
        found = memory.recall(QUESTION, k=5)
    assert len(found) == 5

    def shown(*shares: float) -> int:
        pairs = zip(found, shares, strict=False)
        answer = Answer("Porto", 0.9, tuple(Citation(hit.id, share) for hit, share in pairs))
        with StringIO() as written:
            Console(file=written, width=200).print(show_answer(answer, found))
            return written.getvalue().count("#")

    assert shown(0.6, 0.3, 0.1) == 2
    assert shown(0.2, 0.2, 0.2, 0.2, 0.2) == 3
    assert shown(0.9, 0.1) == 1
    assert shown() == 0


def test_what_is_not_in_memory_is_not_answered(cli: Cli) -> None:
    with fake_llm() as server:
        server.text = "Not in memory."
        server.keyless = True
        args = ("ask", QUESTION, "--llm", f"{server.url}#tiny")
        assert cli.json(*args)["answer"] is None
        shown = cli.ok(*args)
    assert shown.startswith("not in memory")
    assert TEXTS[0] in shown


def test_an_answer_that_cannot_be_had_is_an_error(cli: Cli) -> None:
    error = cli.error(ExitCode.INPUT, "ask", QUESTION, "--llm", "http://127.0.0.1:9/#tiny")
    assert "127.0.0.1:9" in error
