"""Training a reader: it learns, and an interruption changes nothing but the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

from agentmem.errors import ConfigError, ModelError, ModelNotFoundError
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.reader import MemoryReader
from agentmem.models.reader.saving import load_reader
from agentmem.testing import tiny_bundle
from agentmem.training.config import ReaderRunConfig, load_config
from agentmem.training.reader_samples import rewind_samples
from agentmem.training.reader_start import check_run
from tests.training_support import (
    STEPS,
    Killed,
    assert_same_run,
    kill_at,
    logged,
    make_place,
    reader_config_of,
    train_to_read,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("threads_as_before")

FILES = {
    *("model", "metrics.jsonl", "samples.txt", "curves.png"),
    *("run.json", "origin.json", "checkpoint"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def whole(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A finished run and the figures that it reported."""
    seen: list[dict[str, Any]] = []
    folder = train_to_read(
        place, reader_config_of(place, "whole"), report=lambda step, figures: seen.append(figures)
    )
    return folder, seen


def save_lm(folder: Path, kind: str = "llama", **sizes: Any) -> str:
    """A language model of the bundle's vocabulary, unless told otherwise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if kind == "llama":
            given = {"vocab_size": 384, "hidden_size": 32, "intermediate_size": 48, **sizes}
            more = {"num_hidden_layers": 2, "num_attention_heads": 4}
            lm: Any = LlamaForCausalLM(LlamaConfig(**{**given, **more}))
        else:
            given = {"vocab_size": 384, "n_embd": 32, "n_layer": 3, "n_head": 4, **sizes}
            lm = GPT2LMHeadModel(GPT2Config(**{"n_positions": 512, **given}))
    lm.save_pretrained(folder)
    return str(folder)


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of single characters, without a token that begins a text."""
    letters = [chr(code) for code in range(32, 127)]
    vocabulary = {token: id for id, token in enumerate(["<end>", "<unk>", "\n", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    FastTokenizer(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)


class TestARun:
    def test_it_learns(self, whole: tuple[Path, list[dict[str, Any]]]) -> None:
        _, seen = whole
        assert [figures["step"] for figures in seen] == list(range(1, STEPS + 1))
        losses = [figures["loss"] for figures in seen]
        assert sum(losses[-4:]) < 0.87 * sum(losses[:4])
        assert {figures["exercise"] for figures in seen} == {
            *("regenerate", "lookup", "answer", "facts", "follow", "language")
        }

    def test_it_leaves_what_it_promises(
        self, whole: tuple[Path, list[dict[str, Any]]], place: Path
    ) -> None:
        folder, _ = whole
        assert {path.name for path in folder.iterdir()} == FILES
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
        record = ReaderRunConfig.model_validate_json((folder / "run.json").read_text())
        assert record == reader_config_of(place, "whole")
        origin = json.loads((folder / "origin.json").read_text())
        assert origin == {"bundle": ModelBundle(place / "bundle").latents_fingerprint, "lm": None}
        rows = logged(folder)
        assert [row["step"] for row in rows] == [9, STEPS]
        asked = ["regenerate of 1", "regenerate of 16", "lookup of 8", "follow"]
        asked += ["answer of 2", "facts of 3"]
        for row in rows:
            assert list(row["dev"]) == asked
            assert all(0 <= share <= 1 for share in row["dev"].values())
        lines = (folder / "samples.txt").read_text().splitlines()
        assert [line for line in lines if line.startswith("---")] == ["--- step 9", "--- step 16"]
        assert lines[1].startswith("regenerate of 1: '<|bos|>Memory 1:'")
        assert len(lines) == 2 * (1 + 3 * len(asked))
        assert json.loads((folder / "checkpoint" / "state.json").read_text()) == {"step": STEPS}

    def test_the_reader_loads_and_is_the_last_checkpoint(
        self, whole: tuple[Path, list[dict[str, Any]]], place: Path
    ) -> None:
        folder, _ = whole
        reader = load_reader(folder / "model", ModelBundle(place / "bundle"))
        last = load_file(folder / "checkpoint" / "model.safetensors")
        assert {weight.dtype for weight in last.values()} == {torch.float32}
        found = dict(reader.model.named_parameters())
        assert found.keys() == last.keys()
        for name, weight in found.items():
            assert torch.equal(weight, last[name].bfloat16().float()), name

    def test_a_finished_run_is_left_as_it_is(
        self, whole: tuple[Path, list[dict[str, Any]]], place: Path
    ) -> None:
        folder, _ = whole
        before = weights_of(folder), logged(folder), (folder / "samples.txt").read_text()
        steps: list[int] = []
        train_to_read(
            place,
            reader_config_of(place, "whole"),
            report=lambda step, figures: steps.append(step),
        )
        assert steps == []
        after = weights_of(folder), logged(folder), (folder / "samples.txt").read_text()
        assert after == before

    def test_it_may_be_told_where_answers_stand(self, place: Path, tmp_path: Path) -> None:
        """And read answers with mistakes in them; an interruption changes nothing here either."""
        changes: dict[str, Any] = {"seeking": 2.0, "optimiser": {"steps": 12, "lr": 5e-3}}
        config = reader_config_of(place, "told", corrupted=0.2, **changes)
        seen: list[dict[str, Any]] = []
        whole = train_to_read(
            place, config, out=tmp_path, report=lambda step, figures: seen.append(figures)
        )
        assert len(seen) == 12
        for figures in seen:
            nowhere = figures["exercise"] in {"follow", "language"}
            assert (figures["missed"] == 0) == nowhere
        parts = train_to_read(place, config, out=tmp_path / "parts", stop_after=5)
        untold = config.model_copy(update={"name": "untold", "seeking": 0.0})
        aimless = train_to_read(place, untold, out=tmp_path, stop_after=5)
        assert weights_of(aimless) != weights_of(parts)
        assert_same_run(train_to_read(place, config, out=tmp_path / "parts"), whole)


class TestInterrupted:
    def test_stopped_and_resumed_is_the_same_run(
        self, whole: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
    ) -> None:
        config = reader_config_of(place, "whole")
        folder = train_to_read(place, config, stop_after=12, out=tmp_path)
        assert not (folder / "model").exists()
        assert json.loads((folder / "checkpoint" / "state.json").read_text()) == {"step": 12}
        assert train_to_read(place, config, out=tmp_path) == folder
        assert_same_run(folder, whole[0])

    def test_killed_between_checkpoints_is_the_same_run(
        self, whole: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
    ) -> None:
        config = reader_config_of(place, "whole")
        # Before any checkpoint, and after figures and samples that no checkpoint holds.
        for step in (3, 9):
            with pytest.raises(Killed):
                train_to_read(place, config, report=kill_at(step), out=tmp_path)
        assert_same_run(train_to_read(place, config, out=tmp_path), whole[0])

    def test_dropout_and_positions_go_on_where_they_were(self, place: Path, tmp_path: Path) -> None:
        """The language model drops out at random; one stage says nothing of its positions."""
        lm = save_lm(tmp_path / "lm", "gpt2", resid_pdrop=0.3, embd_pdrop=0.3)
        stages = [
            {"until": until, "mixture": {"lookup": 1}, "memory_tokens": [8, 16], "rows": 4} | share
            for until, share in ((0.5, {"tokens_per_position": 1}), (1, {}))
        ]
        changes: dict[str, Any] = {
            "lm": {},
            "reader": {"route": "positions", "tokens_per_position": 4},
            "stages": stages,
            "questions": [],
            "dev_questions": [],
            "optimiser": {"steps": 6, "lr": 1e-3},
            "precision": "bf16",
        }
        config = reader_config_of(place, "dropping", **changes)
        runs = [tmp_path / name for name in ("one", "other")]
        for stop in (2, 4):
            train_to_read(place, config, lm=lm, out=runs[0], stop_after=stop)
        folders = [train_to_read(place, config, lm=lm, out=out) for out in runs]
        assert_same_run(*folders)
        model = MemoryReader.from_pretrained(folders[0] / "model", place / "bundle").parts.model
        assert (model.positions.now, len(model.positions.places)) == (4, 4)

    def test_samples_are_rewound_like_figures(self, tmp_path: Path) -> None:
        log = tmp_path / "samples.txt"
        rewind_samples(log, 3)
        assert not log.exists()
        log.write_text("--- step 2\na: '--- step 9'\n--- step 4\nb\n--- step 10\nc\n")
        rewind_samples(log, 4)
        assert log.read_text() == "--- step 2\na: '--- step 9'\n--- step 4\nb\n"


class TestALanguageModelOfOnesOwn:
    """One that is given, with the bundle's tokens or its own."""

    def config(self, place: Path, name: str, **changes: Any) -> ReaderRunConfig:
        given = {"lm": {}, "optimiser": {"steps": 3, "lr": 1e-2}, "eval_every": 3, **changes}
        return reader_config_of(place, name, **given)

    def test_it_learns_and_is_saved_with_the_reader(self, place: Path, tmp_path: Path) -> None:
        lm = save_lm(tmp_path / "lm")
        before = weights_of(tmp_path / "lm")
        folder = train_to_read(place, self.config(place, "learning"), lm=lm, out=tmp_path)
        reader = MemoryReader.from_pretrained(folder / "model", place / "bundle")
        assert reader.parts.origin.lm is None
        start = load_file(tmp_path / "lm" / "model.safetensors")
        learned = dict(reader.parts.model.lm.named_parameters())
        name = "model.layers.0.mlp.up_proj.weight"
        assert not torch.allclose(learned[name], start[name], atol=1e-3)
        assert weights_of(tmp_path / "lm") == before

    def test_it_may_have_a_tokenizer_of_its_own(self, place: Path, tmp_path: Path) -> None:
        lm = save_lm(tmp_path / "lm", vocab_size=98)
        save_tokenizer(tmp_path / "lm")
        # No token begins a text: what follows memories begins with the first one of its own.
        mixture = {"follow": 0.5, "lookup": 0.25, "answer": 0.25}
        stage = {"until": 1, "mixture": mixture, "memory_tokens": [16, 32], "rows": 4}
        config = self.config(place, "own", stages=[stage])
        folder = train_to_read(place, config, lm=lm, out=tmp_path)
        reader = MemoryReader.from_pretrained(folder / "model", place / "bundle")
        assert reader.words.encode("Ana") == [36, 81, 68]
        assert "follow: '" in (folder / "samples.txt").read_text()

    def test_frozen_it_keeps_its_weights_and_its_place(self, place: Path, tmp_path: Path) -> None:
        lm = save_lm(tmp_path / "lm")
        stage = {"until": 1, "mixture": {"lookup": 1}, "memory_tokens": [8, 16], "rows": 4}
        config = self.config(place, "frozen", train_lm=False, stages=[stage])
        folder = train_to_read(place, config, lm=lm, out=tmp_path)
        learned = load_file(folder / "checkpoint" / "model.safetensors")
        assert {name.split(".")[0] for name in learned} == {"maker", "attention"}
        assert not (folder / "model" / "lm").exists()
        reader = MemoryReader.from_pretrained(folder / "model", place / "bundle")
        assert reader.parts.origin.lm == lm
        start = load_file(tmp_path / "lm" / "model.safetensors")
        for name, weight in reader.parts.model.lm.named_parameters():
            assert torch.equal(weight, start[name]), name

    @pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
    def test_lora_learns_beside_it(self, place: Path, tmp_path: Path) -> None:
        lm = save_lm(tmp_path / "lm")
        lora = {"rank": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}
        config = self.config(place, "lora", train_lm=False, lora=lora)
        folder = train_to_read(place, config, lm=lm, out=tmp_path, stop_after=2)
        folder = train_to_read(place, config, lm=lm, out=tmp_path)
        learned = load_file(folder / "checkpoint" / "model.safetensors")
        of_lm = {name for name in learned if name.startswith("lm.")}
        assert len(of_lm) == 2 * 2 * 2
        assert all(".lora_A." in name or ".lora_B." in name for name in of_lm)
        assert {name.split(".")[0] for name in learned} == {"lm", "maker", "attention"}
        state = torch.load(folder / "checkpoint" / "optimiser.pt", weights_only=True)
        assert sum(len(group["params"]) for group in state["param_groups"]) == len(learned)
        assert not (folder / "model" / "lm").exists()
        reader = MemoryReader.from_pretrained(folder / "model", place / "bundle")
        changed = dict(reader.parts.model.named_parameters())
        for name in of_lm:
            assert torch.equal(changed[name], learned[name]), name

    def test_another_one_does_not_go_on_with_a_run(self, place: Path, tmp_path: Path) -> None:
        config = self.config(place, "mine")
        lm = save_lm(tmp_path / "lm")
        train_to_read(place, config, lm=lm, out=tmp_path, stop_after=1)
        other = save_lm(tmp_path / "other", initializer_range=0.5)
        with pytest.raises(ConfigError, match="run 'mine' exists with other models: choose"):
            train_to_read(place, config, lm=other, out=tmp_path)
        moved = (tmp_path / "lm").rename(tmp_path / "moved")
        train_to_read(place, config, lm=str(moved), out=tmp_path, stop_after=2)


class TestRefused:
    """Wrong input, before any work: nothing is written."""

    STAGE = {"until": 1, "mixture": {"answer": 1}, "memories": [2], "memory_tokens": [16, 32]}

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"texts": {"none.jsonl": 1}}, "'none.jsonl' is not in the corpus folder"),
            ({"dev_questions": ["none.jsonl"]}, "'none.jsonl' is not in the corpus folder"),
            (
                {"train_lm": False, "stages": [{**STAGE, "memory_tokens": [16, 32]}]},
                "train_lm = false: a fresh language model has nothing to keep",
            ),
            (
                {"stages": [{**STAGE, "mixture": {"lookup": 1}, "memory_tokens": [16, 300]}]},
                "memory_tokens up to 300: bundle 'tiny-0' holds 256",
            ),
            (
                {"reader": {"heads": 2, "width": 32, "max_memories": 16}},
                "reader.max_memories = 16: a question's context may be cut into 24",
            ),
            (
                {"stages": [{**STAGE, "memory_tokens": [2, 4]}]},
                r"memory_tokens = \(2, 4\): contexts of max_context = 128 tokens would be cut",
            ),
            (
                {"reader": {"route": "positions", "tokens_per_position": 1}, "max_context": 200},
                r"memories = \[2, 3\] of \(16, 32\) tokens take 632 positions.* model has 512",
            ),
            ({"bundle": "nowhere"}, "no model bundle at 'nowhere'"),
            ({"reader": {"layers": [7]}}, r"layers=\[7\]: the language model has 3"),
        ],
    )
    def test_what_does_not_fit(
        self, changes: dict[str, Any], said: str, place: Path, tmp_path: Path
    ) -> None:
        config = reader_config_of(place, "wrong", **changes)
        with pytest.raises((ConfigError, ModelError), match=said):
            train_to_read(place, config, out=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_more_processes_than_rows(self, place: Path) -> None:
        config, bundle = reader_config_of(place, "wide"), ModelBundle(place / "bundle")
        check_run(config, bundle, corpus=place / "corpus", lm=None, processes=6)
        with pytest.raises(ConfigError, match="rows = 6: less than one for each of 7 processes"):
            check_run(config, bundle, corpus=place / "corpus", lm=None, processes=7)

    def test_a_language_model_that_does_not_fit(self, place: Path, tmp_path: Path) -> None:
        out, fresh = tmp_path / "runs", reader_config_of(place, "wrong", lm={})
        lm = save_lm(tmp_path / "lm", vocab_size=98)
        with pytest.raises(ConfigError, match="no model in 'nobody/knows'"):
            train_to_read(place, fresh, lm="nobody/knows", out=out)
        with pytest.raises(ConfigError, match=r"lm.hidden_size: sizes of a fresh language model"):
            train_to_read(place, reader_config_of(place, "wrong"), lm=lm, out=out)
        with pytest.raises(ModelNotFoundError, match="no tokenizer at"):
            train_to_read(place, fresh, lm=lm, out=out)
        assert not out.exists()

    def test_texts_too_short_for_what_is_drawn(self, place: Path, tmp_path: Path) -> None:
        stages = [{**self.STAGE, "mixture": {"follow": 1}, "memory_tokens": [16, 256]}]
        config = reader_config_of(place, "short", stages=stages, dev_texts=["talks.jsonl"])
        corpus = tmp_path / "corpus"
        corpus.mkdir()
        for name in ("talks.jsonl", "asked.jsonl"):
            (corpus / name).write_bytes((place / "corpus" / name).read_bytes())
        (corpus / "documents.jsonl").write_text('{"text": "Too short."}\n')
        from agentmem.training.reader import train_reader

        with pytest.raises(ConfigError, match=r"'documents.jsonl' has \d+ tokens, and 768 are"):
            train_reader(config, corpus=corpus, out=tmp_path)
        config = reader_config_of(place, "long", max_context=3)
        with pytest.raises(ConfigError, match="max_context = 3: no question of asked.jsonl has"):
            train_to_read(place, config, out=tmp_path)

    def test_a_bundle_that_changed_meanwhile(self, place: Path, tmp_path: Path) -> None:
        changes = {"bundle": str(tiny_bundle(tmp_path / "bundle"))}
        config = reader_config_of(place, "moved", **changes)
        train_to_read(place, config, out=tmp_path, stop_after=1)
        tiny_bundle(tmp_path / "bundle", seed=1)
        with pytest.raises(ConfigError, match="run 'moved' exists with other models"):
            train_to_read(place, config, out=tmp_path)


class TestConfiguration:
    GOOD = """
        name = "x"
        dev_texts = ["a.jsonl"]
        [texts]
        "a.jsonl" = 1
        [lm]
        hidden_size = 64
        [reader]
        max_memories = 32
        [[stages]]
        until = 1
        mixture = { lookup = 1 }
        [optimiser]
        steps = 3
    """

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('name = "x"', 'name = "x"\nspeed = 3', "speed = 3: Extra inputs"),
            ("hidden_size", "hiden_size", "lm = .*unknown key 'hiden_size': known are"),
            ("hidden_size = 64", "hidden_size = 50", "lm = .*hidden size .50. is not a multiple"),
            ("hidden_size = 64", "vocab_size = 9", "lm = .*unknown key 'vocab_size'"),
            ("hidden_size = 64", 'hidden_size = "64"', "lm = .*expected int, got str"),
            ("max_memories = 32", "max_memories = 0", "reader.max_memories = 0"),
            ("max_memories = 32", "width = 15", "reader = .*rope_dims=16 must be"),
            ("lookup = 1", "look = 1", "mixture.look.*= 'look'"),
            ("lookup = 1", "lookup = 0", "mixture.lookup = 0"),
            ("{ lookup = 1 }", "{}", "mixture = {}"),
            ("until = 1", "until = 0.5", r"stages end at \[0.5\]"),
            ("until = 1", "until = 1\nmemory_tokens = [9, 4]", r"memory_tokens = \(9, 4\)"),
            ("until = 1", "until = 1\nmemory_tokens = [1, 4]", r"two ascending, from 2"),
            ("until = 1", "until = 1\nmemories = [40]", r"\[40\]: reader.max_memories = 32"),
            ("until = 1", "until = 1\nmemories = []", r"stages.0.memories = \[\]"),
            ("until = 1", "until = 1\ntokens_per_position = 4", "takes the route 'slots'"),
            ("until = 1", "until = 1\nhard = 2", "stages.0.hard = 2"),
        ],
        ids=lambda value: value.splitlines()[-1] if "=" in value else None,
    )
    def test_errors_name_file_and_key(self, old: str, new: str, named: str, tmp_path: Path) -> None:
        assert old in self.GOOD
        (tmp_path / "run.toml").write_text(self.GOOD.replace(old, new))
        with pytest.raises(ConfigError, match=f"'run.toml'.*{named}") as caught:
            load_config(tmp_path / "run.toml", ReaderRunConfig)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"questions": []}, "a stage has the exercise 'answer', but questions is empty"),
            ({"lora": {"rank": 2}}, "set train_lm = false"),
            (
                {"seeking": 0.2, "reader": {"route": "positions"}},
                "seeking = 0.2: only slots can be attended to",
            ),
            ({"train_lm": False}, "exercise 'language', from which a frozen LM learns nothing"),
        ],
    )
    def test_settings_that_contradict_each_other(
        self, changes: dict[str, Any], said: str, place: Path
    ) -> None:
        with pytest.raises(ValueError, match=said):
            reader_config_of(place, "x", **changes)

    @pytest.mark.parametrize(
        ("shares", "said"),
        [((1, 8), "at most 4"), ((1, 2), "2 in the last stage: the reader will have 4")],
    )
    def test_positions_grow_to_what_the_reader_has(
        self, shares: tuple[int, int], said: str, place: Path
    ) -> None:
        def stages(shares: tuple[int, int]) -> list[dict[str, Any]]:
            return [
                {"until": until, "mixture": {"lookup": 1}, "tokens_per_position": share}
                for until, share in zip((0.5, 1), shares, strict=True)
            ]

        reader = {"route": "positions", "tokens_per_position": 4}
        good = reader_config_of(place, "x", reader=reader, stages=stages((1, 4)))
        assert [good.stage(step).tokens_per_position for step in (0, STEPS - 1)] == [1, 4]
        with pytest.raises(ValueError, match=said):
            reader_config_of(place, "x", reader=reader, stages=stages(shares))

    @pytest.mark.parametrize(
        "name", ["reader-cpu", "reader-raw-cpu", "reader-positions-cpu", "reader-gpu"]
    )
    def test_the_recipes_are_in_order(self, name: str) -> None:
        recipes = Path(__file__).parents[1] / "examples" / "training"
        config = load_config(recipes / f"{name}.toml", ReaderRunConfig)
        assert config.name == name
