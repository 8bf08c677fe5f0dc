"""The evaluation of a reader end to end on tiny models, its tables, picture and command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from agentmem.errors import ConfigError, InputError, ModelError, ModelNotFoundError
from agentmem.evaluation.plots import draw_plots
from agentmem.evaluation.reading import evaluate_reader
from agentmem.evaluation.reading_config import ReaderEvalConfig
from agentmem.evaluation.report import render
from agentmem.evaluation.result import EvalResult, write_result
from agentmem.testing import tiny_bundle
from agentmem.training.config import load_config
from tests.cli_support import Cli
from tests.eval_reading_support import SLOTS, config_of, given, make_place, reader_of, write

EXAMPLE = Path(__file__).parents[1] / "examples" / "benchmarks" / "reader.toml"
WAYS = ["vectors", "raw tokens", "cut text", "no memory"]
Seen = list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("reading"))


def study(place: Path, config: ReaderEvalConfig, **options: Any) -> EvalResult:
    options = {"reader": place / "slots", "raw": place / "raw", **options}
    return evaluate_reader(
        config,
        corpus=place / "corpus",
        model=place / "bundle",
        cache=place / "cache",
        **options,
    )


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[EvalResult, Seen]:
    """A whole evaluation, and the progress that it reported."""
    seen: Seen = []
    result = study(
        place,
        config_of(),
        on_progress=lambda done, total, note="": seen.append((done, total, note)),
    )
    return result, seen


def test_a_fresh_reader_has_read_nothing(finished: tuple[EvalResult, Seen]) -> None:
    results = finished[0].results
    assert results["ways"] == WAYS
    for row in (*results["regeneration"], *results["lookup"]):
        if row["token_accuracy"] is not None:
            assert row["token_accuracy"] < 0.2
            assert row["exact"] == 0
    for row in results["questions"]:
        assert row["all"]["f1"] < 0.2
        assert row["unanswerable"]["exact"] == 0
    for row in results["following"]:
        assert 200 < row["perplexity"] < 500  # of 384 tokens


def test_every_measure_has_its_rows(finished: tuple[EvalResult, Seen]) -> None:
    results = finished[0].results

    def named(measure: str, *keys: str) -> list[Any]:
        return [tuple(row[key] for key in keys) for row in results[measure]]

    files = ("one.jsonl", "two.jsonl")
    assert named("regeneration", "memories", "file", "way", "rows") == [
        (count, file, way, rows)
        for count, rows in ((1, 6), (4, 8))
        for file in files
        for way in WAYS
    ]
    assert named("lookup", "memories", "way", "rows") == [
        (count, way, rows) for count, rows in ((1, 6), (3, 6), (20, 16)) for way in WAYS
    ]
    assert named("following", "file", "way") == [(file, way) for file in files for way in WAYS]
    assert named("curve", "at_most") == [(4,), (8,)]
    assert named("cost", "tokens", "memories") == [(64, 2), (128, 4)]
    for row in results["questions"]:
        assert row["all"]["questions"] == 10
        assert row["answerable"]["questions"] + row["unanswerable"]["questions"] == 10
        assert set(row["kinds"]) == {"extractive", "unanswerable"}


def test_positions_are_vectors_tokens_or_none(finished: tuple[EvalResult, Seen]) -> None:
    results = finished[0].results
    positions = [row["positions"] for row in results["questions"]]
    # 20 tokens, the longest memory, make two vectors.
    assert positions[1] / 16 < positions[0] < positions[1] / 8
    assert positions[2] == positions[0]
    assert positions[3] == 0
    assert [row["positions"] for row in results["following"]] == [4, 48, 4, 0] * 2
    few, more = (row["positions"] for row in results["curve"])
    assert few == 4
    assert few < more <= 8


def test_what_a_reader_cannot_hold_is_left_open(finished: tuple[EvalResult, Seen]) -> None:
    open_rows = [row for row in finished[0].results["lookup"] if row["exact"] is None]
    # Twenty memories of 32 tokens are more positions than 512.
    assert [(row["memories"], row["way"]) for row in open_rows] == [(20, "raw tokens")]
    assert open_rows[0]["token_accuracy"] is None


def test_progress_counts_every_row(finished: tuple[EvalResult, Seen]) -> None:
    _, seen = finished
    rows = 2 * (6 + 8) + (6 + 6 + 16) + 10 + 2 * 4
    total = len(WAYS) * rows + 2 * 10 + 2 * 2 * 3
    assert {all_ for _, all_, _ in seen} == {total}
    done = [done for done, _, _ in seen]
    assert done == sorted(set(done))
    assert done[-1] == total
    assert seen[0][2] == "regeneration, vectors"


def test_the_result_says_what_was_measured(finished: tuple[EvalResult, Seen]) -> None:
    result = finished[0]
    assert (result.task, result.seed, result.hardware["threads"]) == ("reader", 3, 1)
    assert result.config["model"] == "tiny-0"
    assert result.config["reader"]["route"] == "slots"
    assert result.config["raw"]["tokens_per_position"] == 1
    assert result.config["reader"]["hash"] != result.config["raw"]["hash"]
    assert result.config["densities"] == ["dense", "standard"]


def test_a_reader_that_repeats_is_right_where_text_repeats(place: Path, tmp_path: Path) -> None:
    # With tied embeddings and layers that add next to nothing, what comes next is the last token
    # of the prompt: a colon.
    reader_of(place, SLOTS, initializer_range=0.001).save_pretrained(tmp_path)
    config = config_of(
        texts=["colons.jsonl"],
        questions={**given()["questions"], "file": "qa-colons.jsonl", "positions": []},
        lookup={**given()["lookup"], "memories": [2]},
        cost={"tokens": [32], "memory_tokens": 32, "repeats": 1},
    )
    results = study(place, config, reader=tmp_path, raw=None).results
    assert results["ways"] == ["vectors", "no memory"]
    assert results["curve"] == []
    for row in results["regeneration"]:
        # Every token is right, but it does not end where the memory ends.
        assert (row["token_accuracy"], row["exact"]) == (1, 0)
    for row in results["lookup"]:
        assert (row["token_accuracy"], row["exact"]) == (1, 1)
    for row in results["questions"]:
        assert row["all"] == {"f1": 1, "exact": 1, "questions": 1}
        assert row["unanswerable"] is None


def test_a_rerun_gives_the_same_figures(place: Path, finished: tuple[EvalResult, Seen]) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)  # whatever the caller drew before
    again = study(place, config_of())
    assert torch.get_num_threads() == threads
    for measure in ("regeneration", "lookup", "questions", "curve", "following"):
        assert again.results[measure] == finished[0].results[measure]
    assert again.config == finished[0].config


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"texts": ["nowhere.jsonl"]}, ConfigError, "nowhere.jsonl"),
        ({"questions": {"file": "none.jsonl"}}, ConfigError, "none.jsonl"),
        ({"densities": ["loose"]}, ConfigError, "'loose' is none of"),
        ({"lookup": {"memories": [65]}}, ConfigError, "65 memories are more than the 64"),
        ({"following": {"memory_tokens": 512}}, ConfigError, "512: bundle 'tiny-0' holds 256"),
        ({"questions": {"file": "qa.jsonl", "max_context": 2}}, InputError, "no question"),
        ({"texts": ["short.jsonl"]}, InputError, "short.jsonl"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_reading(
    place: Path, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    write(place, "short", [{"text": "too short"}])
    seen: list[int] = []
    with pytest.raises(error, match=match):
        study(place, config_of(**changes), on_progress=lambda *_: seen.append(1))
    assert seen == []


def test_a_reader_that_does_not_fit_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'positions' and 4"):
        study(place, config_of(), raw=place / "four")
    with pytest.raises(ConfigError, match=r"'slots' and 16"):
        study(place, config_of(), raw=place / "slots")
    with pytest.raises(ModelNotFoundError):
        study(place, config_of(), reader=tmp_path)
    with pytest.raises(ModelNotFoundError, match="agentmem train reader"):
        study(place, config_of(), reader=None)
    with pytest.raises(ModelError, match="tiny-1"):
        evaluate_reader(
            config_of(),
            corpus=place / "corpus",
            model=tiny_bundle(tmp_path / "bundle", seed=1),
            reader=place / "slots",
        )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"texts": []}, "texts"),
        ({"densities": []}, "densities"),
        ({"questions": {}}, "file"),
        ({"regeneration": {"memories": [0]}}, "memories"),
        ({"lookup": {"memory_tokens": 20}}, "do not fit a memory"),
        ({"cost": {"tokens": [1000], "memory_tokens": 256}}, "no whole memories"),
        ({"following": {"tokens": 1}}, "tokens"),
        ({"spare": 1}, "spare"),
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, Any], named: str) -> None:
    # Checked as TOML is: by the same sections.
    with pytest.raises(ValueError, match=named):
        ReaderEvalConfig.model_validate_json(json.dumps({**given(), **changes}))


def test_the_example_is_a_configuration() -> None:
    run = load_config(EXAMPLE, ReaderEvalConfig)
    assert run.regeneration.memories == [1, 16]
    assert run.lookup.memories == [1, 4, 8, 16, 64]
    assert run.cost.tokens == [1024, 4096, 16384]


def test_tables_and_picture(finished: tuple[EvalResult, Seen], tmp_path: Path) -> None:
    write_result(tmp_path / "reader.json", finished[0])
    text = render(tmp_path)["reader"]
    tables = [
        [line.strip("|").split(" | ") for line in block.splitlines()]
        for block in text.split("\n\n")
        if block.startswith("|")
    ]
    assert [len(table) - 2 for table in tables] == [4 + 3, 3 + 1, 2, 2]
    for table in tables:
        assert len({len(row) for row in table}) == 1
    recited = tables[0]
    assert recited[0][1].strip() == "vectors: tokens right"
    assert recited[2][0].strip() == "whole memory, N = 1, one.jsonl"
    assert [cell.strip() for cell in recited[-1][3:5]] == ["–", "–"]
    assert "being one: vectors" in text
    assert "seed 3" in text
    assert draw_plots(tmp_path) == (tmp_path / "reader.png",)
    with Image.open(tmp_path / "reader.png") as picture:
        assert picture.width > 400


def test_the_command(place: Path, tmp_path: Path) -> None:
    # Only so much TOML is needed: the rest has defaults.
    config, out = tmp_path / "reader.toml", tmp_path / "out.json"
    config.write_text(
        'threads = 1\ntexts = ["one.jsonl"]\n'
        "[regeneration]\nmemories = [2]\nmemory_tokens = 16\nrows = 2\n"
        "[lookup]\nmemories = [2]\nmemory_tokens = 32\nrows = 2\n"
        '[questions]\nfile = "qa.jsonl"\ncount = 4\nanswer_tokens = 2\npositions = []\n'
        "[following]\nmemories = 1\nmemory_tokens = 16\ntokens = 8\nrows = 1\n"
        "[cost]\ntokens = [16]\nmemory_tokens = 16\nrepeats = 1\n"
    )
    args = ["eval", "reader", "--config", config, "--corpus", place / "corpus"]
    args += ["--model", place / "bundle", "--cache", tmp_path / "cache"]
    cli = Cli(tmp_path)
    shown = cli.ok(*args, "--reader", place / "slots", "--json", out)
    words = ("whole memory, N = 2, one.jsonl", "after a cue, N = 2", "perplexity", "unanswerable")
    for word in (*words, " ms"):
        assert word in shown
    assert json.loads(out.read_text())["task"] == "reader"
    assert "agentmem train reader" in cli.error(4, *args)
