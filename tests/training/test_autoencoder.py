"""Training the autoencoder: it learns, and resuming is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agentmem.corpus import read_records
from agentmem.errors import ConfigError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.torch_runtime import TorchAutoencoder
from agentmem.training.autoencoder.config import RunConfig
from agentmem.training.config import OptimizerConfig, load_config
from agentmem.training.data.packed import Windows, pack
from agentmem.training.loop.checkpoint import load_checkpoint, save_checkpoint
from agentmem.training.loop.optimizer import schedule
from agentmem.training.loop.runs import claim_run, rewind
from tests.support.training import (
    STEPS,
    Killed,
    assert_same_run,
    config_of,
    kill_at,
    logged,
    make_place,
    train,
)

pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module", params=["no", pytest.param("bf16", marks=pytest.mark.slow)])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def uninterrupted(place: Path, precision: str) -> tuple[Path, list[dict[str, Any]]]:
    """A finished run and the figures that it reported."""
    seen: list[dict[str, Any]] = []
    folder = train(
        place,
        config_of(place, f"whole-{precision}", precision=precision),
        report=lambda step, figures: seen.append(figures),
    )
    return folder, seen


class TestARun:
    def test_it_learns(self, uninterrupted: tuple[Path, list[dict[str, Any]]]) -> None:
        folder, seen = uninterrupted
        assert [figures["step"] for figures in seen] == list(range(1, STEPS + 1))
        losses, shares = ([figures[name] for figures in seen] for name in ("loss", "accuracy"))
        assert sum(losses[-4:]) < 0.75 * sum(losses[:4])
        assert sum(shares[-4:]) > sum(shares[:4])
        assert [figures["quantization"] for figures in seen] == ["fine", "coarse"] * (STEPS // 2)
        assert logged(folder)[-1]["dev"]["talks/fine"] > shares[0] + 0.1

    def test_it_leaves_the_documented_files(
        self, uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, precision: str
    ) -> None:
        folder, _ = uninterrupted
        assert {path.name for path in folder.iterdir()} == {
            "model",
            "metrics.jsonl",
            "curves.png",
            "run.json",
            "checkpoint",
        }
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
        record = RunConfig.model_validate_json((folder / "run.json").read_text())
        assert record == config_of(place, f"whole-{precision}", precision=precision)
        rows = logged(folder)
        assert [row["step"] for row in rows] == [9, STEPS]
        for row in rows:
            assert set(row["dev"]) == {
                "talks/fine",
                "talks/coarse",
                "random-tokens/fine",
                "random-tokens/coarse",
            }
        state = json.loads((folder / "checkpoint" / "state.json").read_text())
        assert state == {"step": STEPS}

    def test_the_model_loads_and_is_the_last_checkpoint(
        self, uninterrupted: tuple[Path, list[dict[str, Any]]]
    ) -> None:
        folder, _ = uninterrupted
        model = MemoryAutoencoder.from_pretrained(folder / "model")
        saved = load_file(folder / "model" / "model.safetensors")
        assert {weight.dtype for weight in saved.values()} == {torch.bfloat16}
        last = load_file(folder / "checkpoint" / "model.safetensors")
        assert {weight.dtype for weight in last.values()} == {torch.float32}
        for name, weight in model.named_parameters():
            assert torch.equal(weight, last[name].bfloat16().float()), name

    def test_dev_figures_are_what_the_codec_would_reach(
        self, uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
    ) -> None:
        folder, _ = uninterrupted
        config = RunConfig.model_validate_json((folder / "run.json").read_text())
        model = MemoryAutoencoder.from_pretrained(folder / "model")
        last = load_file(folder / "checkpoint" / "model.safetensors")
        model.load_state_dict({**last, "head.weight": last["embedding.weight"]})
        file = pack(
            place / "corpus" / "talks.jsonl", config.data.tokenizer, place / "runs" / "cache"
        )
        source = Windows(
            [file],
            weights=[1],
            lengths=config.data.lengths,
            tokens_per_batch=8192,
            vocab_size=384,
            random_share=0,
            seed=config.seed,
        )
        chunks = [
            ids[mask].tolist()
            for index in range(4)
            for ids, mask in zip(*source.batch(index), strict=True)
        ]
        coded = LatentCodec(TorchAutoencoder(model)).encode(
            chunks, quantizations=["fine"], min_fidelity=1
        )
        right = sum(item.fidelity * len(ids) for item, ids in zip(coded, chunks, strict=True))
        share = right / sum(map(len, chunks))
        assert logged(folder)[-1]["dev"]["talks/fine"] == pytest.approx(share, abs=1e-4)

    def test_a_finished_run_is_left_as_it_is(
        self, uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, precision: str
    ) -> None:
        folder, _ = uninterrupted
        before = (folder / "model" / "model.safetensors").read_bytes(), logged(folder)
        steps: list[int] = []
        train(
            place,
            config_of(place, folder.name, precision=precision),
            report=lambda step, figures: steps.append(step),
        )
        assert steps == []
        assert ((folder / "model" / "model.safetensors").read_bytes(), logged(folder)) == before


class TestInterrupted:
    def test_stopped_and_resumed_is_the_same_run(
        self,
        uninterrupted: tuple[Path, list[dict[str, Any]]],
        place: Path,
        precision: str,
        tmp_path: Path,
    ) -> None:
        config = config_of(place, f"whole-{precision}", precision=precision)
        for stop in (2, 12):
            folder = train(place, config, stop_after=stop, out=tmp_path)
            assert not (folder / "model").exists()
            assert json.loads((folder / "checkpoint" / "state.json").read_text()) == {"step": stop}
        assert train(place, config, out=tmp_path) == folder
        assert_same_run(folder, uninterrupted[0])

    # By default, the reranker's test of the same loop does.
    @pytest.mark.slow
    def test_killed_between_checkpoints_is_the_same_run(
        self,
        uninterrupted: tuple[Path, list[dict[str, Any]]],
        place: Path,
        precision: str,
        tmp_path: Path,
    ) -> None:
        config = config_of(place, f"whole-{precision}", precision=precision)
        # Before any checkpoint, and after figures were logged that no checkpoint holds.
        for step in (3, 9):
            with pytest.raises(Killed):
                train(place, config, report=kill_at(step), out=tmp_path)
        assert_same_run(train(place, config, out=tmp_path), uninterrupted[0])

    def test_a_run_folder_of_another_configuration_is_refused(
        self, uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, precision: str
    ) -> None:
        folder, _ = uninterrupted
        before = (folder / "run.json").read_text()
        other = config_of(place, folder.name, precision=precision, seed=5)
        with pytest.raises(ConfigError, match=f"run {folder.name!r} exists with another conf"):
            train(place, other)
        assert (folder / "run.json").read_text() == before


class TestCheckpoint:
    @staticmethod
    def made(value: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        layer = torch.nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=value)
        torch.nn.init.constant_(layer.weight, value)
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return layer, optimizer

    def assert_loads(self, folder: Path, value: float) -> None:
        layer, optimizer = self.made(0.5)
        assert load_checkpoint(folder, layer, optimizer) == {"step": int(value)}
        expected, expected_optimizer = self.made(value)
        assert torch.equal(next(layer.parameters()), next(expected.parameters()))
        found, wanted = optimizer.state_dict(), expected_optimizer.state_dict()
        assert found["param_groups"] == wanted["param_groups"]
        assert torch.equal(found["state"][0]["exp_avg"], wanted["state"][0]["exp_avg"])

    def test_none_at_first(self, tmp_path: Path) -> None:
        assert load_checkpoint(tmp_path / "checkpoint", *self.made(1)) is None

    def test_the_last_one_counts(self, tmp_path: Path) -> None:
        folder = tmp_path / "checkpoint"
        for value in (1, 2):
            save_checkpoint(folder, *self.made(value), {"step": value})
            self.assert_loads(folder, value)
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]

    def test_interrupted_while_writing(self, tmp_path: Path) -> None:
        folder, fresh = tmp_path / "checkpoint", tmp_path / "checkpoint.tmp"
        fresh.mkdir()
        (fresh / "model.safetensors").write_bytes(b"torn")
        assert load_checkpoint(folder, *self.made(1)) is None
        save_checkpoint(folder, *self.made(1), {"step": 1})
        fresh.mkdir()
        (fresh / "state.json").write_text('{"step": 2}')
        self.assert_loads(folder, 1)

    def test_interrupted_between_the_renamings(self, tmp_path: Path) -> None:
        folder = tmp_path / "checkpoint"
        save_checkpoint(folder, *self.made(1), {"step": 1})
        folder.rename(tmp_path / "checkpoint.old")
        save_checkpoint(tmp_path / "new", *self.made(2), {"step": 2})
        (tmp_path / "new").rename(tmp_path / "checkpoint.tmp")
        self.assert_loads(folder, 2)
        save_checkpoint(folder, *self.made(3), {"step": 3})
        self.assert_loads(folder, 3)
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]

    def test_interrupted_while_removing_the_old(self, tmp_path: Path) -> None:
        folder, old = tmp_path / "checkpoint", tmp_path / "checkpoint.old"
        save_checkpoint(folder, *self.made(2), {"step": 2})
        old.mkdir()
        (old / "model.safetensors").write_bytes(b"half of it")
        self.assert_loads(folder, 2)


class TestConfiguration:
    GOOD = """
        name = "x"
        [data]
        tokenizer = "t"
        dev = []
        train = {"a.jsonl" = 1}
        [optimizer]
        steps = 3
    """

    def load(self, tmp_path: Path, text: str) -> RunConfig:
        (tmp_path / "run.toml").write_text(text)
        return load_config(tmp_path / "run.toml", RunConfig)

    def test_a_small_one_is_enough(self, tmp_path: Path) -> None:
        config = self.load(tmp_path, self.GOOD)
        assert (config.data.tokens_per_step, config.optimizer.betas) == (4096, (0.9, 0.98))

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('name = "x"', 'name = "x"\nspeed = 3', "speed = 3: Extra inputs"),
            ('tokenizer = "t"', 'tokenizer = "t"\nshuffle = true', "data.shuffle = True"),
            ("steps = 3", "steps = 3\nmomentum = 1", "optimizer.momentum = 1"),
            ("steps = 3", "steps = 0", "optimizer.steps = 0"),
            ("steps = 3", 'steps = "many"', "optimizer.steps = 'many'"),
            ("steps = 3", "", "optimizer.steps = .*Field required"),
            ("steps = 3", "steps = 3\nlr = -1e-3", "optimizer.lr = -0.001"),
            ("steps = 3", "steps = 3\nwarmup = 1.5", "optimizer.warmup = 1.5"),
            ('name = "x"', 'name = "x"\nprecision = "fp8"', "precision = 'fp8'"),
            ('name = "x"', 'name = "x"\nturns = []', r"turns = \[\]"),
            (
                "[data]",
                "[model.quantizations]\nfine = 0.5\n[data]",
                r"quantizations\['fine'\]=0.5 must be",
            ),
            ('name = "x"', 'name = "x"\nround_from = 2', "round_from = 2"),
            ('tokenizer = "t"', 'tokenizer = "t"\nlengths = []', r"data.lengths = \[\]"),
            ('tokenizer = "t"', 'tokenizer = "t"\nlengths = [-8]', "data.lengths.0 = -8"),
            ('{"a.jsonl" = 1}', "{}", r"data.train = \{\}"),
            ('{"a.jsonl" = 1}', '{"a.jsonl" = 0}', "data.train.a.jsonl = 0"),
            ("[data]", "[model]\nhiden_size = 64\n[data]", "model = .*unknown key 'hiden_size'"),
            ("[data]", "[model]\nhidden_size = 50\n[data]", "model = .*hidden_size=50 must split"),
            (
                "[data]",
                '[model]\nhidden_size = "64"\n[data]',
                "model = .*hidden_size='64' must be a whole number",
            ),
            ('name = "x"', "name = ", "is not TOML"),
        ],
        ids=lambda value: value.splitlines()[-1] if "=" in value else None,
    )
    def test_errors_name_file_and_key(self, old: str, new: str, named: str, tmp_path: Path) -> None:
        assert old in self.GOOD
        with pytest.raises(ConfigError, match=f"'run.toml'.*{named}") as caught:
            self.load(tmp_path, self.GOOD.replace(old, new))
        assert "\n" not in str(caught.value)

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"'none.toml': No such file"):
            load_config(tmp_path / "none.toml", RunConfig)
        (tmp_path / "folder.toml").mkdir()
        with pytest.raises(ConfigError, match=r"'folder.toml': Is a directory"):
            load_config(tmp_path / "folder.toml", RunConfig)
        (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
        with pytest.raises(ConfigError, match=r"'latin.toml' is not TOML in UTF-8"):
            load_config(tmp_path / "latin.toml", RunConfig)

    def test_a_tokenizer_of_another_size(self, place: Path, tmp_path: Path) -> None:
        config = config_of(place, "x", model={"vocab_size": 400})
        with pytest.raises(ConfigError, match=r"model.vocab_size = 400.* has 384"):
            train(place, config, out=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_start_that_is_no_model(self, place: Path, tmp_path: Path) -> None:
        config = config_of(place, "x", start="nobody/knows")
        with pytest.raises(ConfigError, match="no model in 'nobody/knows'"):
            train(place, config, out=tmp_path)


def test_a_start_from_another_model_keeps_what_fits(place: Path, tmp_path: Path) -> None:
    start = place / "bundle" / "autoencoder"
    model = {**config_of(place, "x").model, "hidden_size": 64, "encoder_layers": 2}
    optimizer = {"steps": 2, "lr": 1e-9, "weight_decay": 0}
    config = config_of(place, "warm", model=model, start=str(start), optimizer=optimizer)
    folder = train(place, config, out=tmp_path, stop_after=1)
    found = load_file(folder / "checkpoint" / "model.safetensors")
    old = load_file(start / "model.safetensors")
    for name in ("embedding.weight", "encoder.0.up.weight", "decoder_norm.weight"):
        torch.testing.assert_close(found[name], old[name], atol=1e-6, rtol=0)
    assert found["to_slot.fine.weight"].shape == (1, 64)
    assert old["to_slot.fine.weight"].shape == (2, 64)
    assert "encoder.1.up.weight" in found


def test_the_schedule_rises_stays_and_falls() -> None:
    config = OptimizerConfig(steps=10, warmup=0.2, decay=0.5)
    values = [schedule(done, config) for done in np.linspace(0, 1, 11)]
    assert values == pytest.approx([0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0])
    flat = OptimizerConfig(steps=10, warmup=0, decay=0)
    assert {schedule(done, flat) for done in (0.0, 0.5, 0.999)} == {1.0}


def test_a_log_is_rewound_to_the_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    rewind(log, 3)
    assert not log.exists()
    log.write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"st')
    rewind(log, 4)
    assert list(read_records(log)) == [{"step": 2}, {"step": 4}]


def test_a_folder_is_claimed_once(place: Path, tmp_path: Path) -> None:
    config = config_of(place, "x")
    claim_run(tmp_path / "x", config)
    claim_run(tmp_path / "x", config)
    with pytest.raises(ConfigError, match="choose another name, or remove its folder"):
        claim_run(tmp_path / "x", config_of(place, "x", seed=1))
