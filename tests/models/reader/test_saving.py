"""A reader's files: round trips, and damaged or unknown files are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.reader.rounding import restore_adapters, round_adapters
from agentmem.models.reader.saving import load_config, load_weights, save_reader
from tests.support.language_models import reading_model, tiny_lm
from tests.support.saved import rewrite


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    save_reader(reading_model(tiny_lm()), folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_round_trip(folder: Path) -> None:
    before, after = reading_model(tiny_lm()), reading_model(tiny_lm(), seed=7)
    assert load_config(folder) == before.config
    load_weights(after, folder)
    kept = restore_adapters(round_adapters(before.trainable()))
    for name, weights in after.trainable().items():
        assert torch.equal(weights, kept[name])
    save_reader(after, folder / "again")
    for name in ("reader.json", "adapter.safetensors"):
        assert (folder / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_language_model_is_not_in_it(folder: Path) -> None:
    own = sum(p.numel() for p in reading_model(tiny_lm()).trainable().values())
    assert (folder / "adapter.safetensors").stat().st_size < own + 14_000


def test_an_adapter_of_the_first_format(folder: Path) -> None:
    rewrite(folder / "reader.json", lambda config: config.update(format_version=1))
    with pytest.raises(ModelError, match="format version 1, which is no longer read: train"):
        load_config(folder)


def test_weights_without_scales(folder: Path) -> None:
    file = folder / "adapter.safetensors"
    weights = load_file(file)
    save_file({name: w for name, w in weights.items() if not name.endswith(".scale")}, file)
    with pytest.raises(ModelError, match=r"adapter.safetensors' is damaged"):
        load_weights(reading_model(tiny_lm()), folder)


def test_what_is_missing_is_named(folder: Path) -> None:
    model = reading_model(tiny_lm())
    (folder / "adapter.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no reader in .* adapter.safetensors"):
        load_weights(model, folder)
    (folder / "reader.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no reader in .* reader.json"):
        load_config(folder)


def test_damaged_weights(folder: Path) -> None:
    file = folder / "adapter.safetensors"
    for damaged in (file.read_bytes()[:-9], b"", b"\xff" * 64):
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"adapter.safetensors' is damaged"):
            load_weights(reading_model(tiny_lm()), folder)


@pytest.mark.parametrize(
    "other",
    [
        lambda: reading_model(tiny_lm(hidden_size=64)),
        lambda: reading_model(tiny_lm(num_hidden_layers=3)),
        lambda: reading_model(tiny_lm(), rank=5),
    ],
)
def test_weights_of_another_reader(folder: Path, other: Any) -> None:
    model = other()
    before = {name: weights.clone() for name, weights in model.trainable().items()}
    with pytest.raises(ModelError, match="do not belong to this reader"):
        load_weights(model, folder)
    assert all(torch.equal(before[name], w) for name, w in model.trainable().items())


def test_a_later_format(folder: Path) -> None:
    rewrite(folder / "reader.json", lambda config: config.update(format_version=3, news=True))
    with pytest.raises(ModelError, match="format version 3, .* upgrade agentmem"):
        load_config(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(format_version="one"),
        lambda config: config.pop("language_model"),
        lambda config: config.update(rank=0),
        lambda config: config.update(unheard_of=1),
    ],
)
def test_a_configuration_that_is_none(folder: Path, change: Any) -> None:
    rewrite(folder / "reader.json", change)
    with pytest.raises(ModelError, match="is no reader's configuration"):
        load_config(folder)


def test_a_configuration_that_is_no_json(folder: Path) -> None:
    for text in (b"{", b"[1]", b"\xff\xfe"):
        (folder / "reader.json").write_bytes(text)
        with pytest.raises(ModelError, match="is no reader's configuration"):
            load_config(folder)
