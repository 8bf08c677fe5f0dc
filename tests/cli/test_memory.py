"""Commands on stored memories: recall, show, list, forget, update."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.bundle.manifest import write_manifest
from agentmem_cli.diff import differences, side_by_side
from agentmem_cli.exits import ExitCode
from agentmem_cli.output import safe
from agentmem_cli.views import percent, ranges
from tests.support.cli import Cli, bundle
from tests.support.prompts import without_nonce

TEXTS = ("I like green tea", "The train to Lyon leaves at 9:40", "My sister lives in Porto")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Cli(tmp_path_factory.mktemp("filled"))
    made.ok("add", *TEXTS[:2], "--user", "ana", "--at", "2026-01-05", "--meta", "year=2001")
    made.ok("add", TEXTS[2], "--user", "bob", "--at", "2026-03-05", "--meta", "year=2010")
    return made.store


@pytest.fixture
def cli(tmp_path: Path, filled: Path) -> Cli:
    made = Cli(tmp_path)
    shutil.copytree(filled, made.store)
    return made


def ids(cli: Cli, *args: object) -> list[int]:
    return [int(line) for line in cli.ok(*args, "--quiet").split()]


def test_recall_finds_and_prints_the_exact_text(cli: Cli) -> None:
    # By words: the tiny model's keys mean nothing.
    shown = cli.ok("recall", "train to Lyon", "-k", 1, "--mode", "lexical")
    assert re.match(
        r" 1 \d\.\d{3}  #2  2026-01-05 00:00  user  relevance \d\.\d\d\n   The train to Lyon", shown
    )
    found = cli.json("recall", "train to Lyon", "--user", "ana", "--mode", "lexical")
    assert found["hits"][0]["text"] == TEXTS[1]
    assert found["candidates"] == 2
    assert ids(cli, "recall", "train to Lyon", "-k", 1, "--mode", "lexical") == [2]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["--user", "bob"], {3}),
        (["--where", '{"year": {"gte": 2005}}'], {3}),
        (["--since", "2026-02-01"], {3}),
        (["--until", "2026-02-01T00:00:00+00:00"], {1, 2}),
        (["--session", "nowhere"], set()),
    ],
    ids=["scope", "where", "since", "until", "none"],
)
def test_filters_hold_for_recall_and_list(cli: Cli, args: list[str], found: set[int]) -> None:
    assert set(ids(cli, "recall", "anything", "--mode", "vector", *args)) == found
    assert set(ids(cli, "list", *args)) == found


def test_recall_that_finds_nothing_says_so(cli: Cli) -> None:
    assert cli.ok("recall", "tea", "--user", "nobody") == "nothing found\n"
    assert cli.json("recall", "tea", "--user", "nobody")["hits"] == []


def test_expand_shows_the_context_of_a_hit(cli: Cli) -> None:
    args = ("recall", "train", "--mode", "lexical", "--expand", "neighbors")
    shown = cli.ok(*args)
    assert re.match(r" 1 1\.000  #2  .*\n   The train .*\n\n \+ 0\.000  #1  .*\n   I like", shown)
    assert [hit["expanded_from"] for hit in cli.json(*args)["hits"]] == [None, 2]
    assert ids(cli, *args) == [2, 1]
    # An episode by its gaps in time: both were said at one time.
    assert ids(cli, *args[:-1], "episode") == [2, 1]


def test_order_of_time_shows_the_oldest_first(cli: Cli) -> None:
    assert ids(cli, "recall", "sister", "-k", 3)[0] == 3
    assert ids(cli, "recall", "sister", "-k", 3, "--order", "time") == [1, 2, 3]


def test_a_time_in_the_question_is_counted_from_now(cli: Cli) -> None:
    def lifted(now: str) -> set[int]:
        hits = cli.json("recall", "what was it two months ago?", "--now", now)["hits"]
        return {hit["id"] for hit in hits if hit["explain"]["time"]}

    assert lifted("2026-03-20") == {1, 2}
    assert lifted("2026-05-01T12:00+02:00") == {3}
    assert lifted("2026-04-01") == set()


def test_a_budget_prints_the_packed_context(cli: Cli) -> None:
    shown = cli.run("recall", "green tea", "--budget", 70)
    assert (
        without_nonce(shown.stdout)
        == "<memories>\n[2026-01-05] user: I like green tea\n</memories>\n"
    )
    assert "did not fit 70 tokens" in shown.stderr
    packed = cli.json("recall", "green tea", "--budget", 70)
    assert packed["text"] == shown.stdout.rstrip("\n")
    assert packed["ids"] == [1]


def test_a_budget_that_nothing_fits_prints_nothing(cli: Cli) -> None:
    shown = cli.run("recall", "green tea", "--budget", 5)
    assert shown.stdout == ""
    assert "did not fit 5 tokens" in shown.stderr


def test_a_budget_holds_the_same_words_once(cli: Cli) -> None:
    cli.ok("add", TEXTS[0], "--user", "ana", "--at", "2026-02-05")
    args = ("recall", "green tea", "--budget", 300)
    packed = cli.json(*args)
    assert (len(packed["ids"]), packed["left_out"]) == (3, 0)
    assert packed["text"].count(TEXTS[0]) == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["  "], ExitCode.INPUT, "blank"),
        (["tea", "-k", "0"], ExitCode.INPUT, "k=0"),
        (["tea", "--where", '{"year": {"like": 2}}'], ExitCode.INPUT, "'like'"),
        (["tea", "--where", "year=2"], ExitCode.USAGE, "not JSON"),
        (["tea", "--where", "[2]"], ExitCode.USAGE, "not a JSON object"),
        (["tea", "--mode", "magic"], ExitCode.USAGE, "magic"),
        (["tea", "--since", "soon"], ExitCode.USAGE, "'soon'"),
        (["tea", "--now", "soon"], ExitCode.USAGE, "'soon'"),
        (["tea", "--expand", "all"], ExitCode.USAGE, "all"),
        (["tea", "--order", "age"], ExitCode.USAGE, "age"),
        (["tea", "--budget", "0"], ExitCode.INPUT, "max_tokens=0"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_questions(cli: Cli, args: list[str], code: ExitCode, said: str) -> None:
    assert said in cli.error(code, "recall", *args)


def test_show_prints_everything(cli: Cli) -> None:
    shown = cli.ok("show", 3)
    for word in ("user bob", "2026-03-05", "year=2010", "0-24 of 24", "100 %", TEXTS[2]):
        assert word in shown
    found = cli.json("show", 3)
    assert found["patch_bytes"] == 0
    assert "regenerated" not in found
    assert cli.ok("show", 3, "--quiet") == TEXTS[2]


def test_show_decode_puts_both_texts_side_by_side(cli: Cli) -> None:
    shown = cli.ok("show", 2, "--decode")
    assert "from the vectors alone" in shown
    assert shown.count(TEXTS[1]) == 2
    assert cli.json("show", 2, "--decode")["identical"] is True
    assert cli.ok("show", 2, "--decode", "--quiet") == TEXTS[1]


def test_show_decode_marks_what_the_vectors_alone_get_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(bundle(), tmp_path / "forgetful")
    autoencoder = MemoryAutoencoder.from_pretrained(folder / "autoencoder")
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in autoencoder.parameters():
            weights.add_(0.005 * torch.randn(weights.shape, generator=noise))
    autoencoder.save_pretrained(folder / "autoencoder")
    write_manifest(folder, "forgetful")
    cli = Cli(tmp_path)
    cli.environment["AGENTMEM_MODEL"] = str(folder)
    text = " ".join(TEXTS * 4)
    cli.ok("add", text)
    output = cli.json("show", 1, "--decode")
    assert output["text"] == text
    assert output["regenerated"] == cli.ok("show", 1, "--decode", "--quiet") != text
    assert output["patch_bytes"] > 0
    assert output["fidelity"] < 1
    assert "[-" in cli.ok("show", 1, "--decode")
    _, screen = cli.terminal(monkeypatch, "show", 1, "--decode")
    assert "\x1b[37;41m" in screen
    assert "[-" not in screen


def test_an_id_of_another_scope_is_unknown(cli: Cli) -> None:
    assert "3" in cli.error(ExitCode.NOT_FOUND, "show", 3, "--user", "ana")
    cli.error(ExitCode.NOT_FOUND, "update", 3, "--text", "x", "--user", "ana")
    cli.error(ExitCode.NOT_FOUND, "forget", 3, "--user", "ana")
    assert ids(cli, "list") == [1, 2, 3]


def test_a_memory_cannot_steer_the_terminal(cli: Cli) -> None:
    text = "red \x1b[31m bell \x07 \x9b2J\ttab\nline"
    (new,) = cli.json("add", text)["ids"]
    for command in (["show", new], ["show", new, "--decode"], ["list"], ["recall", "red bell"]):
        shown = cli.ok(*command)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
        assert r"\x1b[31m" in shown
    assert cli.run("show", new, "--quiet").stdout_bytes == text.encode()
    assert cli.json("show", new)["text"] == text


def test_list_says_how_many_the_limit_leaves_out(cli: Cli) -> None:
    shown = cli.run("list", "--limit", 1)
    assert shown.stdout == "     1  2026-01-05  user: I like green tea\n"
    assert shown.stderr == "2 more; --after 1 continues, --limit 0 lists all\n"
    everything = cli.run("list", "--limit", 0, "--json")
    assert [json.loads(line)["id"] for line in everything.stdout.splitlines()] == [1, 2, 3]
    assert everything.stderr == ""
    assert cli.run("list", "--limit", 1, "--quiet").stderr == ""


def test_list_begins_with_the_newest(cli: Cli) -> None:
    assert ids(cli, "list", "--newest") == [3, 2, 1]
    assert cli.ok("list", "--newest", "--limit", 1, "--quiet") == "3\n"


def test_list_of_one_source(cli: Cli) -> None:
    source = cli.json("show", 3)["source_id"]
    assert ids(cli, "list", "--source", source) == [3]


def test_forgetting_one_memory_needs_no_confirmation(cli: Cli) -> None:
    assert cli.ok("forget", 1) == "forgot 1 memory: 1\n"
    assert ids(cli, "list") == [2, 3]


def test_a_dry_run_only_reports(cli: Cli) -> None:
    assert cli.ok("forget", "--user", "ana", "--dry-run") == "would forget 2 memories: 1-2\n"
    assert cli.json("forget", "--before", "2026-02-01", "--dry-run")["ids"] == [1, 2]
    assert ids(cli, "list") == [1, 2, 3]


def test_deleting_many_without_a_terminal_needs_yes(cli: Cli) -> None:
    assert "--yes" in cli.error(ExitCode.USAGE, "forget", "--user", "ana", input="y\n")
    assert ids(cli, "list") == [1, 2, 3]
    assert cli.json("forget", "--user", "ana", "--yes")["ids"] == [1, 2]
    assert ids(cli, "list") == [3]


@pytest.mark.parametrize(
    ("answer", "left"), [(b"n\n", [1, 2, 3]), (b"\n", [1, 2, 3]), (b"y\n", [3])]
)
def test_a_terminal_is_prompted(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: bytes, left: list[int]
) -> None:
    code, screen = cli.terminal(monkeypatch, "forget", "--user", "ana", typed=answer)
    assert code == 0
    assert "Forget 2 memories permanently? [y/N]" in screen
    assert ("nothing was forgotten" in screen) is (len(left) == 3)
    assert ids(cli, "list") == left


@pytest.mark.parametrize(
    ("args", "left"),
    [
        ([1, 2, "--before", "2025-01-01"], [1, 2, 3]),
        (["--where", '{"year": 2010}'], [1, 2]),
        (["--user", "nobody"], [1, 2, 3]),
    ],
    ids=["all must hold", "where", "nothing fits"],
)
def test_forget_deletes_what_matches_every_condition(
    cli: Cli, args: list[object], left: list[int]
) -> None:
    cli.ok("forget", *args, "--yes")
    assert ids(cli, "list") == left


def test_forget_needs_a_selector(cli: Cli) -> None:
    assert "give a condition" in cli.error(ExitCode.USAGE, "forget", "--yes")
    assert "99" in cli.error(ExitCode.NOT_FOUND, "forget", 1, 99, "--yes")
    assert ids(cli, "list") == [1, 2, 3]


def test_update_gives_a_new_text_or_new_metadata(cli: Cli) -> None:
    cli.ok("update", 3, "--meta", "year=2011", "--meta", "kind=family")
    assert cli.json("show", 3)["metadata"] == {"year": 2011, "kind": "family"}
    (new,) = cli.json("update", 3, "--text", "My sister lives in Braga")["ids"]
    found = cli.json("show", new)
    assert (found["text"], found["user_id"]) == ("My sister lives in Braga", "bob")
    assert found["created_at"].startswith("2026-03-05")
    cli.error(ExitCode.NOT_FOUND, "show", 3)
    assert "--text" in cli.error(ExitCode.USAGE, "update", new)


def test_colors_only_where_they_are_wanted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _, screen = cli.terminal(monkeypatch, "list")
    assert "\x1b[" in screen
    assert "\x1b[" not in cli.ok("list")
    monkeypatch.setenv("NO_COLOR", "1")
    _, screen = cli.terminal(monkeypatch, "recall", "green tea")
    assert not re.search(r"\x1b\[[0-9;]*3\dm", screen)


def test_progress_is_drawn_on_a_terminal_only(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _, screen = cli.terminal(monkeypatch, "verify")
    assert "verifying" in screen
    _, screen = cli.terminal(monkeypatch, "verify", "--json")
    assert json.loads(screen)["ok"] is True
    assert cli.run("verify").stderr == ""


def test_a_long_text_is_one_line_of_the_list_as_wide_as_the_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("add", "word " * 60, "--user", "eve")
    assert ("word " * 60).strip() in cli.ok("list", "--user", "eve")
    monkeypatch.setenv("COLUMNS", "50")
    _, screen = cli.terminal(monkeypatch, "list", "--user", "eve")
    (line,) = re.sub(r"\x1b\[[0-9;]*m", "", screen).splitlines()
    assert len(line) <= 50
    assert line.endswith("…")


@given(st.text(max_size=60), st.text(max_size=60))
def test_differences_are_the_texts_in_pieces(one: str, other: str) -> None:
    left, right = differences(one, other)
    assert "".join(text for text, _ in left) == one
    assert "".join(text for text, _ in right) == other
    assert [text for text, changed in left if not changed] == [
        text for text, changed in right if not changed
    ]
    assert (one == other) is not any(changed for _, changed in (*left, *right))


def shown(*, colors: bool) -> str:
    console = Console(
        force_terminal=colors,
        color_system="standard" if colors else None,
        width=80,
        record=True,
        file=open(os.devnull, "w"),
    )  # noqa: SIM115
    with console.file:
        console.print(side_by_side("the red  fox", "the blue fox", colors=colors))
    return console.export_text(styles=colors)


def test_differences_are_colored_or_bracketed() -> None:
    assert "[-red  -]" in shown(colors=False)
    assert "{+blue +}" in shown(colors=False)
    assert "\x1b[" in shown(colors=True)
    assert "[-" not in shown(colors=True)


@given(st.text())
def test_safe_text_has_no_controls_but_lines_and_tabs(text: str) -> None:
    clean = safe(text)
    assert all(sign in "\n\t" or ord(sign) >= 32 for sign in clean)
    assert safe(clean) == clean


@pytest.mark.parametrize(
    ("given_ids", "said"),
    [([], ""), ([4], "4"), ([1, 2, 3], "1-3"), ([3, 1, 2], "3, 1-2"), ([1, 1, 2], "1, 1-2")],
)
def test_ranges(given_ids: list[int], said: str) -> None:
    assert ranges(given_ids) == said


def test_ranges_are_cut() -> None:
    assert ranges([1, 3, 5, 7], most=2) == "1, 3, ..."


def test_only_all_is_100_percent() -> None:
    assert [percent(share) for share in (1.0, 0.999999, 0.5)] == ["100 %", "99.99 %", "50.00 %"]
