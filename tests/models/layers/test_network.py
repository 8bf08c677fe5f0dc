"""Networks in folders: what is written, and what loading leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.bundle.manifest import shipped_bundle
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2, "embedding_dims": 8}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        EmbedderModel(EmbedderConfig(**SIZES)).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def test_the_layout_is_that_of_hugging_face(folder: Path) -> None:
    written = json.loads((folder / "config.json").read_text())
    assert written["model_type"] == "agentmem-keys"
    assert written["architectures"] == ["EmbedderModel"]
    assert written["dtype"] == "float32"
    assert SIZES.items() <= written.items()
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_what_another_library_wrote_into_the_configuration_is_ignored(folder: Path) -> None:
    given = json.loads((folder / "config.json").read_text())
    more = {"transformers_version": "5.0.0", "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps({**given, **more}))
    assert EmbedderConfig.from_pretrained(folder) == EmbedderConfig(**SIZES)


def test_former_names_are_read(folder: Path) -> None:
    file = folder / "config.json"
    file.write_text(file.read_text().replace("embedding_dims", "key_dims"))
    assert EmbedderConfig.from_pretrained(folder) == EmbedderConfig(**SIZES)
    EmbedderModel.from_pretrained(folder).save_pretrained(folder / "again")
    written = json.loads((folder / "again" / "config.json").read_text())
    assert (written["embedding_dims"], "key_dims" in written) == (8, False)


def test_the_shipped_bundle_is_read_under_its_former_names() -> None:
    # Stores are bound to its fingerprint, a hash of these files: they stay as they are.
    for part, kind in (("autoencoder", AutoencoderConfig), ("keys", EmbedderConfig)):
        file = shipped_bundle() / part / "config.json"
        given = json.loads(file.read_text(encoding="utf-8"))
        config = kind.from_pretrained(file.parent)
        assert kind.former_names.keys() <= given.keys()
        for former, name in kind.former_names.items():
            assert getattr(config, name) == given[former]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON in UTF-8"),
        ("[1]", "configures a model of type None, not 'agentmem-keys'"),
        ('{"model_type": "bert"}', "configures a model of type 'bert', not 'agentmem-keys'"),
        (
            '{"model_type": "agentmem-keys", "embedding_dims": 0}',
            "embedding_dims=0 must be positive",
        ),
        (
            '{"model_type": "agentmem-keys", "embedding_dims": "8"}',
            "embedding_dims='8' must be a whole number",
        ),
    ],
)
def test_configurations_that_are_none(folder: Path, content: str, message: str) -> None:
    (folder / "config.json").write_text(content)
    for kind in (EmbedderConfig, EmbedderModel):
        with pytest.raises(ModelError, match=message):
            kind.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelNotFoundError, match=f"no model in .*: it has no {name}"):
        EmbedderModel.from_pretrained(folder)


def test_weights_that_are_missing_or_too_many(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    for given in ({**weights, "more": torch.zeros(1)}, {"norm.weight": weights["norm.weight"]}):
        save_file(given, file)
        with pytest.raises(ModelError, match=r"does not fit its config.json"):
            EmbedderModel.from_pretrained(folder)


@pytest.mark.parametrize("surroundings", ["inference", "dtype", "random", "file"])
def test_loading_does_not_depend_on_the_program_around_it(folder: Path, surroundings: str) -> None:
    expected = {
        name: weight.clone() for name, weight in load_file(folder / "model.safetensors").items()
    }
    before = torch.get_rng_state()
    found: Any
    if surroundings == "inference":
        with torch.inference_mode():
            found = EmbedderModel.from_pretrained(folder)
        assert not any(weight.is_inference() for weight in found.parameters())
    elif surroundings == "dtype":
        torch.set_default_dtype(torch.bfloat16)
        try:
            found = EmbedderModel.from_pretrained(folder)
        finally:
            torch.set_default_dtype(torch.float32)
    else:
        found = EmbedderModel.from_pretrained(folder)
    if surroundings == "file":  # what is written over the file later changes no weight
        file = folder / "model.safetensors"
        with file.open("r+b") as handle:
            handle.write(bytes(file.stat().st_size))
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.training
    for name, weight in found.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, expected[name]), name
