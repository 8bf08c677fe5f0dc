"""Readers saved and loaded: what is written, what comes back, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaModel,
    PretrainedConfig,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from agentmem import MemoryReader
from agentmem.errors import AgentMemError, ModelError, ModelNotFoundError
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.configuration import AdapterKind, Route, SavedReader
from agentmem.models.reader.lm import lm_fingerprint
from agentmem.testing import tiny_bundle, tiny_model
from tests.reader_support import (
    TEXTS,
    causal_lm,
    kept,
    make_reader,
    own_tokenizer,
    refuse_network,
    row_of,
    slots_of,
)
from tests.saved_support import assert_silent, rewrite

OWN = {"model.safetensors", "reader.json"}
ROWS = row_of(1, 40, 50, 60, 70)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a language model that speaks the bundle's tokens."""
    folder = tmp_path_factory.mktemp("base")
    causal_lm().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved reader with its language model beside it."""
    folder = tmp_path_factory.mktemp("reader")
    make_reader(adapter="states").save_pretrained(folder)
    return folder


@pytest.fixture
def saved(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "saved"))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked = refuse_network(monkeypatch)
    yield
    assert asked == []


def load(folder: Path, **given: Any) -> MemoryReader:
    return MemoryReader.from_pretrained(folder, tiny_model(), **given)


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in found}


@torch.no_grad()
def logits(reader: MemoryReader) -> Tensor:
    made: Tensor = reader.parts.model(*ROWS, memory=slots_of([kept(*TEXTS)])).logits
    return made


@torch.no_grad()
def round_off(reader: MemoryReader, *, lm: bool) -> None:
    """What saving does to weights, in place."""
    for name, weights in reader.parts.model.state_dict().items():
        if weights.is_floating_point() and (lm or not name.startswith("lm.")):
            weights.copy_(weights.bfloat16())


class TestWithItsLanguageModel:
    """A language model that was made here has no name to be found by."""

    @pytest.mark.parametrize("route", ["slots", "positions"])
    @pytest.mark.parametrize("adapter", ["codes", "states", "linear"])
    def test_the_same_reader_comes_back(
        self, tmp_path: Path, route: Route, adapter: AdapterKind
    ) -> None:
        reader = make_reader(causal_lm("gpt2"), route=route, adapter=adapter)
        reader.save_pretrained(tmp_path)
        before = logits(reader)
        found = load(tmp_path)
        assert found.config == reader.config
        round_off(reader, lm=True)
        after = logits(found)
        assert torch.equal(after, logits(reader))
        assert not torch.equal(after, before)  # the weights were not round by themselves
        said = found.answer("When?", kept(*TEXTS), max_new_tokens=9)
        assert said == reader.answer("When?", kept(*TEXTS), max_new_tokens=9)

    def test_what_is_written(self, made: Path) -> None:
        lm = {"lm/config.json", "lm/generation_config.json", "lm/model.safetensors"}
        assert files(made) == OWN | lm
        for name in ("model.safetensors", "lm/model.safetensors"):
            weights = load_file(made / name)
            assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
            size = sum(tensor.nbytes for tensor in weights.values())
            assert (made / name).stat().st_size < size + 8192
        assert not any(name.startswith("lm.") for name in load_file(made / "model.safetensors"))
        told = SavedReader.read(made)
        assert told.origin.lm is None
        assert told.origin.fingerprint == tiny_model().latents_fingerprint
        assert (told.origin.vocab_size, told.origin.hidden_size) == (384, 32)

    def test_tied_weights_are_written_once(self, tmp_path: Path) -> None:
        lm = causal_lm(tie_word_embeddings=True)
        make_reader(lm, adapter="linear").save_pretrained(tmp_path)
        names = load_file(tmp_path / "lm" / "model.safetensors").keys()
        assert "model.embed_tokens.weight" in names
        assert "lm_head.weight" not in names
        head = load(tmp_path).parts.model.lm.get_output_embeddings()
        assert torch.equal(head.weight, lm.get_output_embeddings().weight.bfloat16().float())

    def test_saving_again_writes_the_same_bytes(self, made: Path, tmp_path: Path) -> None:
        again = load(made).save_pretrained(tmp_path / "again")
        assert files(again) == files(made)
        for name in files(made) - {"lm/config.json"}:  # which names the folder it came from
            assert (again / name).read_bytes() == (made / name).read_bytes()

    def test_its_tokenizer_is_saved_too(self, tmp_path: Path) -> None:
        lm = causal_lm(vocab_size=300)
        reader = make_reader(lm, given={"tokenizer": own_tokenizer()}, adapter="linear")
        reader.save_pretrained(tmp_path)
        found = load(tmp_path)
        assert found.words.encode(TEXTS[0]) == reader.words.encode(TEXTS[0])
        round_off(reader, lm=True)
        said = found.answer("When?", kept(*TEXTS), max_new_tokens=9)
        assert said == reader.answer("When?", kept(*TEXTS), max_new_tokens=9)


class TestWithANamedLanguageModel:
    """One that lies somewhere is not written a second time."""

    def test_only_the_reading_parts_are_written(self, base: Path, tmp_path: Path) -> None:
        reader = make_reader(str(base), adapter="states")
        reader.save_pretrained(tmp_path)
        assert files(tmp_path) == OWN
        names = {name for name, _ in reader.parts.model.own_parameters}
        assert load_file(tmp_path / "model.safetensors").keys() == names
        own = sum(weights.numel() for _, weights in reader.parts.model.own_parameters)
        assert (tmp_path / "model.safetensors").stat().st_size < 2 * own + 8192
        assert SavedReader.read(tmp_path).origin.lm == str(base)
        found = load(tmp_path)
        round_off(reader, lm=False)
        assert torch.equal(logits(found), logits(reader))

    def test_one_that_was_loaded_has_a_name(self, base: Path, tmp_path: Path) -> None:
        lm = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        make_reader(lm, adapter="linear").save_pretrained(tmp_path)
        assert files(tmp_path) == OWN
        assert SavedReader.read(tmp_path).origin.lm == str(base)

    def test_a_folder_is_found_from_anywhere(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(base.parent)
        make_reader(base.name, adapter="linear").save_pretrained(tmp_path)
        monkeypatch.chdir(tmp_path)
        assert load(tmp_path).parts.origin.lm == str(base)

    def test_one_that_has_learned_is_written(self, base: Path, tmp_path: Path) -> None:
        reader = make_reader(str(base), adapter="linear")
        lm = reader.parts.model.lm
        output = reader.parts.model(*ROWS, labels=ROWS[0])
        output.loss.backward()
        torch.optim.SGD(lm.parameters(), lr=0.1).step()
        reader.save_pretrained(tmp_path)
        assert "lm/model.safetensors" in files(tmp_path)
        round_off(reader, lm=True)
        assert torch.equal(logits(load(tmp_path)), logits(reader))

    def test_a_tokenizer_beside_it_is_found(self, tmp_path: Path) -> None:
        causal_lm(vocab_size=300).save_pretrained(tmp_path / "base")
        with pytest.raises(ModelNotFoundError, match=r"no tokenizer at .*pass it as tokenizer="):
            make_reader(str(tmp_path / "base"))
        own_tokenizer().save_pretrained(tmp_path / "base")
        reader = make_reader(str(tmp_path / "base"), adapter="linear")
        reader.save_pretrained(tmp_path / "reader")
        assert files(tmp_path / "reader") == OWN
        found = load(tmp_path / "reader")
        assert found.words.encode(TEXTS[0]) == own_tokenizer().encode(
            TEXTS[0], add_special_tokens=False
        )

    def test_one_that_was_downloaded_is_known_by_name(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "cache" / "models--ana--tiny"
        shutil.copytree(base, place / "snapshots" / "abc")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("abc")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        reader = make_reader("ana/tiny", adapter="linear")
        reader.save_pretrained(tmp_path / "reader")
        assert files(tmp_path / "reader") == OWN
        assert load(tmp_path / "reader").parts.origin.lm == "ana/tiny"

    def test_given_when_it_is_loaded_already(self, base: Path, tmp_path: Path) -> None:
        reader = make_reader(str(base), adapter="linear")
        reader.save_pretrained(tmp_path)
        for lm in (causal_lm(), causal_lm().to(torch.bfloat16)):
            assert load(tmp_path, lm=lm).parts.model.lm is lm

    def test_it_is_gone(self, base: Path, tmp_path: Path) -> None:
        moved = Path(shutil.copytree(base, tmp_path / "base"))
        make_reader(str(moved), adapter="linear").save_pretrained(tmp_path / "reader")
        shutil.rmtree(moved)
        with pytest.raises(ModelNotFoundError, match=r"no language model at .*base' on this mach"):
            load(tmp_path / "reader")

    def test_it_has_other_weights_now(self, base: Path, tmp_path: Path) -> None:
        moved = Path(shutil.copytree(base, tmp_path / "base"))
        make_reader(str(moved), adapter="linear").save_pretrained(tmp_path / "reader")
        causal_lm(seed=1).save_pretrained(moved)
        with pytest.raises(ModelError, match="these are other weights .*: give that one as lm="):
            load(tmp_path / "reader")


class TestRefused:
    def test_the_memories_of_another_bundle(self, saved: Path, tmp_path: Path) -> None:
        other = ModelBundle(tiny_bundle(tmp_path / "other", seed=1))
        with pytest.raises(
            ModelError,
            match=f"bundle 'tiny-0' .*{tiny_model().latents_fingerprint}.*, not of 'tiny-1'",
        ):
            MemoryReader.from_pretrained(saved, other)

    @pytest.mark.parametrize(
        ("lm", "said"),
        [
            ({"seed": 1}, "these are other weights"),
            ({"hidden_size": 64}, "hidden size 32 and 384 tokens, this one has 64 and 384"),
            ({"vocab_size": 300}, "hidden size 32 and 384 tokens, this one has 32 and 300"),
            ({"num_hidden_layers": 2}, "these are other weights"),
        ],
    )
    def test_another_language_model(self, saved: Path, lm: dict[str, Any], said: str) -> None:
        with pytest.raises(ModelError, match=said):
            load(saved, lm=causal_lm(**lm))

    def test_another_tokenizer(self, saved: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="with another tokenizer: leave tokenizer= out"):
            load(saved, tokenizer=own_tokenizer())
        lm = causal_lm(vocab_size=300)
        reader = make_reader(lm, given={"tokenizer": own_tokenizer()}, adapter="linear")
        reader.save_pretrained(tmp_path / "own")
        with pytest.raises(ModelError, match="with another tokenizer"):
            load(tmp_path / "own", tokenizer=own_tokenizer(290))

    def test_no_reader_there(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(ModelNotFoundError, match=r"no reader in .* has no reader\.json"):
                load(folder)

    def test_a_bundle_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match="bundle 'tiny-0' comes without a reader"):
            MemoryReader.from_pretrained(bundle=tiny_bundle(tmp_path))

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"{", id="torn"),
            pytest.param(b"\xff{}", id="not-utf-8"),
            pytest.param(b'{"format": 1}', id="no-config"),
        ],
    )
    def test_a_note_that_is_none(self, saved: Path, text: bytes) -> None:
        (saved / "reader.json").write_bytes(text)
        with pytest.raises(ModelError, match="reader.json' is not a reader's"):
            load(saved)

    def test_a_later_format(self, saved: Path) -> None:
        rewrite(saved / "reader.json", lambda told: told.update(format=2))
        with pytest.raises(ModelError, match="reader.json' is not a reader's"):
            load(saved)

    def test_a_later_note_does_no_harm(self, saved: Path) -> None:
        rewrite(saved / "reader.json", lambda told: told.update(remark="trained on a Tuesday"))
        load(saved)

    @pytest.mark.parametrize("name", ["model.safetensors", "lm/model.safetensors"])
    @pytest.mark.parametrize("left", [None, 0, 100, -8])
    def test_weights_that_are_torn_or_missing(
        self, saved: Path, name: str, left: int | None
    ) -> None:
        data = (saved / name).read_bytes()
        (saved / name).unlink()
        if left is not None:
            (saved / name).write_bytes(data[:left])
        with pytest.raises(ModelError, match=f"{Path(name).name}|language model at"):
            load(saved)

    @pytest.mark.parametrize("name", ["lm/config.json", "lm"])
    def test_a_language_model_that_is_no_more(self, saved: Path, name: str) -> None:
        place = saved / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        with pytest.raises(ModelNotFoundError, match="no language model at"):
            load(saved)

    @pytest.mark.parametrize(
        "config",
        [
            {"width": 48},
            {"heads": 3},
            {"span": 3},
            {"layers": [0]},
            {"adapter": "linear"},
            {"adapter": "codes"},
            {"route": "positions"},
        ],
    )
    def test_weights_of_another_shape(self, saved: Path, config: dict[str, Any]) -> None:
        rewrite(saved / "reader.json", lambda told: told["config"].update(config))
        with pytest.raises(ModelError, match="model.safetensors in .* does not fit its reader.js"):
            load(saved)


class TestWhatIsNoLanguageModel:
    @pytest.mark.parametrize(
        ("kind", "config"),
        [
            (LlamaModel, causal_lm().config),
            (T5ForConditionalGeneration, T5Config(vocab_size=384, d_model=8, num_layers=1)),
        ],
    )
    def test_a_model_of_another_kind(self, kind: Any, config: PretrainedConfig) -> None:
        lm: PreTrainedModel = kind(config)
        with pytest.raises(ModelError, match=f"{kind.__name__} is no causal language model"):
            MemoryReader.from_causal_lm(lm, tiny_model())

    def test_something_else(self) -> None:
        with pytest.raises(ModelError, match="lm is Linear: give a causal language model"):
            MemoryReader.from_causal_lm(torch.nn.Linear(2, 2), tiny_model())  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["nobody/nothing", "nowhere", "./nowhere"])
    def test_a_name_that_is_not_on_this_machine(self, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=f"no language model at '{name}'.*download"):
            MemoryReader.from_causal_lm(name, tiny_model())

    def test_layers_that_it_does_not_have(self) -> None:
        with pytest.raises(AgentMemError, match=r"layers=\[1, 3\]: the language model has 3"):
            make_reader(layers=[1, 3], adapter="linear")


def test_the_fingerprint_of_a_language_model() -> None:
    one = lm_fingerprint(causal_lm())
    assert one == lm_fingerprint(causal_lm().to(torch.bfloat16))
    changed = causal_lm()
    with torch.no_grad():
        changed.get_parameter("model.layers.1.mlp.up_proj.weight")[3, 4] += 0.1
    others = {lm_fingerprint(lm) for lm in (changed, causal_lm(seed=1), causal_lm("gpt2"))}
    assert len({one, *others}) == 4


def test_saving_and_loading_say_nothing(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "bundle")
    script = (
        "import sys; from pathlib import Path; from agentmem import MemoryReader\n"
        "from tests.reader_support import causal_lm, config_of\n"
        "place = Path(sys.argv[1])\n"
        "reader = MemoryReader.from_causal_lm(causal_lm(), str(place / 'bundle'), "
        "config=config_of(adapter='linear'))\n"
        "reader.save_pretrained(place / 'reader')\n"
        "reader = MemoryReader.from_pretrained(place / 'reader', str(place / 'bundle'))\n"
        "reader.answer('When?', [], max_new_tokens=2)\n"
    )
    assert_silent(script, tmp_path)
