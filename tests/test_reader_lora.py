"""LoRA: a language model that is adapted to reading, and whose own weights stay where they are."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agentmem import MemoryReader
from agentmem.errors import ConfigError, MissingExtraError, ModelError
from agentmem.models.reader.configuration import Route
from agentmem.testing import tiny_model
from tests.reader_support import (
    TEXTS,
    causal_lm,
    kept,
    make_reader,
    padded,
    refuse_network,
    slots_of,
)

# peft asks transformers for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
ROWS = [[1, 40, 50, 60, 70], [1, 90, 91]]
NEW = 6


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    causal_lm().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked = refuse_network(monkeypatch)
    yield
    assert asked == []


def adapted(base: Path, route: Route = "slots", **lora: Any) -> MemoryReader:
    """A reader with LoRA weights as if they had been trained."""
    given = {"lora": {**LORA, **lora}}
    reader: MemoryReader = make_reader(str(base), given=given, route=route, adapter="states")
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in reader.parts.model.named_parameters():
            if "lora_B" in name:
                weights.copy_(0.2 * torch.randn(weights.shape, generator=noise))
    return reader


@pytest.fixture(params=["slots", "positions"])
def reader(request: pytest.FixtureRequest, base: Path) -> MemoryReader:
    return adapted(base, request.param)


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapted(base).save_pretrained(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def saved(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "saved"))


def load(folder: Path, **given: Any) -> MemoryReader:
    return MemoryReader.from_pretrained(folder, tiny_model(), **given)


@torch.no_grad()
def logits(reader: MemoryReader, row: list[int], *texts: str) -> Tensor:
    ids, mask = padded([row], left=False)
    memory = slots_of([kept(*texts)]) if texts else None
    made: Tensor = reader.parts.model(ids, mask, memory=memory).logits
    return made


def test_it_counts_and_so_do_memories(reader: MemoryReader, base: Path) -> None:
    plain = make_reader(str(base), route=reader.config.route, adapter="states")
    read = logits(reader, ROWS[0], *TEXTS)
    for other in (logits(plain, ROWS[0], *TEXTS), logits(reader, ROWS[0])):
        assert float((read - other).abs().max()) > 0.05


def test_what_is_generated_reads_as_a_whole_pass_does(reader: MemoryReader) -> None:
    """peft generates with the model inside it: memories must be read there too."""
    made = reader.parts.model.generate(
        *padded(ROWS, left=True),
        reader.prepare([kept(*TEXTS)]),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
    )
    for row, ids in zip(ROWS, made.tolist(), strict=True):
        text = list(row)
        for _ in range(NEW):
            text.append(int(logits(reader, text, *TEXTS)[0, -1].argmax()))
        assert ids == text[len(row) :]


def test_only_lora_and_the_reading_parts_learn(reader: MemoryReader) -> None:
    for name, weights in reader.parts.model.named_parameters():
        assert weights.requires_grad == (not name.startswith("lm.") or "lora_" in name), name


def test_the_same_reader_comes_back(reader: MemoryReader, base: Path, tmp_path: Path) -> None:
    reader.save_pretrained(tmp_path)
    found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {"reader.json", "model.safetensors", "lora/adapter_model.safetensors"} <= found
    assert not any("lm/" in name for name in found)
    model = reader.parts.model
    lora = sum(w.numel() for name, w in model.named_parameters() if "lora_" in name)
    written = (tmp_path / "lora" / "adapter_model.safetensors").stat().st_size
    assert written < 4 * lora + 16384  # float32, as peft writes it
    told = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(base)
    with torch.no_grad():
        for name, weights in model.state_dict().items():
            if weights.is_floating_point() and not name.startswith("lm."):
                weights.copy_(weights.bfloat16())
    again = load(tmp_path)
    assert torch.equal(logits(again, ROWS[0], *TEXTS), logits(reader, ROWS[0], *TEXTS))
    said = again.answer("When?", kept(*TEXTS), max_new_tokens=9)
    assert said == reader.answer("When?", kept(*TEXTS), max_new_tokens=9)


def test_a_save_without_it_forgets_an_earlier_one(saved: Path, base: Path) -> None:
    make_reader(str(base), adapter="states").save_pretrained(saved)
    assert (saved / "lora").is_dir()
    assert not any("lora_" in name for name, _ in load(saved).parts.model.named_parameters())


class TestRefused:
    def test_a_language_model_without_a_name(self) -> None:
        with pytest.raises(ModelError, match=r"LlamaForCausalLM, which has no name .*the folder"):
            make_reader(given={"lora": LORA})

    @pytest.mark.parametrize(
        ("lora", "said"),
        [
            ({"rank": 4}, "unexpected keyword argument 'rank'"),
            ({"r": 0}, "positive"),
            ({"target_modules": ["no_such_layer"]}, "no_such_layer"),
        ],
    )
    def test_arguments_that_peft_does_not_take(
        self, base: Path, lora: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ConfigError, match=f"lora=.*{said}"):
            make_reader(str(base), given={"lora": {**LORA, **lora}}, adapter="linear")

    def test_a_language_model_that_has_it_already(self, base: Path) -> None:
        lm = adapted(base).parts.model.lm
        with pytest.raises(ModelError, match="lm is PeftModelForCausalLM: give a causal"):
            MemoryReader.from_causal_lm(lm, tiny_model())

    def test_lora_of_another_base(self, saved: Path) -> None:
        with pytest.raises(ModelError, match="trained with .*base.* these are other weights"):
            load(saved, lm=causal_lm(seed=1))

    @pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
    @pytest.mark.parametrize("left", [None, 0, 60])
    def test_files_that_are_torn_or_missing(self, saved: Path, name: str, left: int | None) -> None:
        file = saved / "lora" / name
        data = file.read_bytes()
        file.unlink()
        if left is not None:
            file.write_bytes(data[:left])
        with pytest.raises(ModelError, match="LoRA in .*lora' does not fit the reader's lang"):
            load(saved)

    def test_the_whole_folder_is_missing(self, saved: Path) -> None:
        shutil.rmtree(saved / "lora")
        with pytest.raises(ModelError, match="LoRA in .*lora' does not fit"):
            load(saved)

    @pytest.mark.parametrize("other", [{"r": 2}, {"target_modules": ["q_proj"]}])
    def test_weights_of_other_layers(
        self, saved: Path, base: Path, tmp_path: Path, other: dict[str, Any]
    ) -> None:
        adapted(base, **other).save_pretrained(tmp_path / "other")
        weights = "lora/adapter_model.safetensors"
        shutil.copy(tmp_path / "other" / weights, saved / weights)
        with pytest.raises(ModelError, match="LoRA in .*lora' does not fit"):
            load(saved)

    def test_without_peft(self, saved: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "peft", None)
        for wanted in (lambda: load(saved), lambda: adapted(base)):
            with pytest.raises(MissingExtraError, match=r"latent-agentmem\[lora\]") as caught:
                wanted()
            assert caught.value.extra == "lora"
