"""Model bundles: what the manifest pins, and what is rejected before any work."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.models.bundle.manifest import (
    READER,
    RERANKER,
    bundled_part,
    read_manifest,
    shipped_bundle,
    write_manifest,
)
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.testing import tiny_bundle
from agentmem.training.tokenizer import train_tokenizer_on
from tests.support.saved import assert_silent, rewrite

WEIGHTS = ["autoencoder/model.safetensors", "keys/model.safetensors"]
PINNED = [
    *WEIGHTS,
    "autoencoder/config.json",
    "keys/config.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_the_manifest_names_every_pinned_file_with_its_hash(made: Path) -> None:
    manifest = read_manifest(made)
    assert manifest.name == "tiny-0"
    assert sorted(manifest.files) == sorted(PINNED)
    for name, digest in manifest.files.items():
        assert digest == hashlib.sha256((made / name).read_bytes()).hexdigest()


def test_a_loaded_bundle_says_what_it_is(made: Path) -> None:
    bundle = ModelBundle(made)
    assert bundle.name == "tiny-0"
    assert bundle.fingerprint == read_manifest(made).fingerprint
    assert (bundle.embedder.dims, bundle.codec.max_tokens) == (32, 256)
    assert load_bundle(str(made)) is load_bundle(str(made))


@pytest.mark.parametrize("name", PINNED)
def test_a_flipped_byte_is_found(bundle: Path, name: str) -> None:
    flip(bundle / name, (bundle / name).stat().st_size // 2)
    # Weights are verified when they are loaded, and all else by opening.
    act = ModelBundle(bundle).load if name in WEIGHTS else lambda: ModelBundle(bundle)
    with pytest.raises(ModelError, match=f"file {name!r} of bundle 'tiny-0' is not the one"):
        act()


@pytest.mark.parametrize("name", PINNED)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelNotFoundError, match=f"lacks its file {name!r}"):
        ModelBundle(bundle)


def test_no_bundle_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ModelNotFoundError, match="no model bundle at"):
            ModelBundle(path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ModelNotFoundError, match="no model bundle at"):
        ModelBundle(file)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="torn"),
        pytest.param("[]", id="a-list"),
        pytest.param('{"name": "x", "format": 1}', id="no-files"),
        pytest.param('{"name": "x", "format": 1, "files": ["a"]}', id="files-are-a-list"),
        pytest.param(b"\xff\xfe{}", id="not-utf-8"),
    ],
)
def test_a_manifest_that_is_none(bundle: Path, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    (bundle / "manifest.json").write_bytes(data)
    with pytest.raises(ModelError, match="is not a bundle's manifest"):
        read_manifest(bundle)


def test_an_optional_part_that_was_never_there(bundle: Path) -> None:
    shutil.rmtree(bundle / "keys")
    write_manifest(bundle, "half")
    with pytest.raises(ModelNotFoundError, match="'half' lacks its file 'keys/config.json'"):
        ModelBundle(bundle)


def test_a_later_format_names_the_way_out(bundle: Path) -> None:
    rewrite(bundle / "manifest.json", lambda manifest: manifest.update(format=2))
    with pytest.raises(ModelError, match="has format 2, this agentmem reads 1: upgrade agentmem"):
        ModelBundle(bundle)


class TestFingerprint:
    @pytest.mark.parametrize("name", PINNED)
    def test_changes_with_what_a_stored_byte_depends_on(self, bundle: Path, name: str) -> None:
        before = read_manifest(bundle)
        flip(bundle / name, (bundle / name).stat().st_size // 2)
        after = write_manifest(bundle, "tiny-0")
        assert after.fingerprint != before.fingerprint
        # What reads latents is none the worse for other keys.
        same = after.latents_fingerprint == before.latents_fingerprint
        assert same == name.startswith("keys/")

    def test_does_not_change_with_card_name_or_notes(self, bundle: Path) -> None:
        before = read_manifest(bundle).fingerprint
        (bundle / "README.md").write_text("A tiny bundle.")
        (bundle / "training.json").write_text("{}")
        assert read_manifest(bundle).fingerprint == before
        assert write_manifest(bundle, "another name").fingerprint == before
        assert ModelBundle(bundle).name == "another name"

    def test_swapping_two_files_changes_it(self, bundle: Path) -> None:
        before = read_manifest(bundle).fingerprint
        one, other = (bundle / name for name in WEIGHTS)
        one.rename(bundle / "kept")
        other.rename(one)
        (bundle / "kept").rename(other)
        assert write_manifest(bundle, "tiny-0").fingerprint != before

    def test_writing_again_gives_the_same_manifest(self, bundle: Path) -> None:
        before = (bundle / "manifest.json").read_bytes()
        write_manifest(bundle, "tiny-0")
        assert (bundle / "manifest.json").read_bytes() == before

    def test_of_the_shipped_bundle_stays(self) -> None:
        """People's stores are pinned to it: a change of it takes them away."""
        manifest = read_manifest(shipped_bundle())
        assert manifest.fingerprint == "00578ab7b126e035, keys of builtin 2d6b6a63030bb9b0"
        assert manifest.tiny_fingerprint == "582cfb576f8367dd"


class TestReader:
    """A reader in the bundle: nothing that is stored depends on it."""

    FILES = ("reader/lora/adapter.safetensors", "reader/reader.json")

    @pytest.fixture
    def bundle(self, bundle: Path) -> Path:
        add_reader(bundle)
        write_manifest(bundle, "tiny-0")
        return bundle

    def test_it_is_named_file_by_file_outside_the_fingerprint(
        self, bundle: Path, made: Path
    ) -> None:
        manifest, without = read_manifest(bundle), read_manifest(made)
        assert manifest.files == without.files
        assert manifest.fingerprint == without.fingerprint
        assert tuple(sorted(manifest.reader)) == self.FILES
        for name, digest in manifest.reader.items():
            assert digest == hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        assert "reader" not in json.loads((made / "manifest.json").read_text())
        assert bundled_part(bundle, READER) == bundle / "reader"

    @pytest.mark.parametrize("name", FILES)
    def test_damage_to_it_is_found_when_it_is_asked_for_not_before(
        self, bundle: Path, name: str
    ) -> None:
        flip(bundle / name, (bundle / name).stat().st_size // 2)
        assert ModelBundle(bundle).encode([[9, 10]])
        with pytest.raises(ModelError, match=f"file {name!r} of bundle 'tiny-0' is not the one"):
            bundled_part(bundle, READER)
        (bundle / name).unlink()
        assert ModelBundle(bundle).encode([[9, 10]])
        with pytest.raises(ModelNotFoundError, match=f"lacks its file {name!r}"):
            bundled_part(bundle, READER)

    def test_a_file_that_was_put_there_is_found(self, bundle: Path) -> None:
        (bundle / "reader" / "lora" / "adapter_config.json").write_text("{}")
        with pytest.raises(ModelError, match="'reader/lora/adapter_config.json' is not in the man"):
            bundled_part(bundle, READER)
        rewrite(bundle / "manifest.json", lambda manifest: manifest.pop("reader"))
        assert ModelBundle(bundle).name == "tiny-0"
        with pytest.raises(ModelError, match="is not in the manifest of bundle 'tiny-0': remove"):
            bundled_part(bundle, READER)

    def test_a_bundle_may_do_without(self, bundle: Path) -> None:
        shutil.rmtree(bundle / "reader")
        write_manifest(bundle, "tiny-0")
        with pytest.raises(ModelNotFoundError, match="'tiny-0' comes without a reader: train one"):
            bundled_part(bundle, READER)

    @pytest.mark.parametrize("listed", [None, ["a"], 3])
    def test_a_list_of_its_files_that_is_none(self, bundle: Path, listed: Any) -> None:
        rewrite(bundle / "manifest.json", lambda manifest: manifest.update(reader=listed))
        with pytest.raises(ModelError, match="is not a bundle's manifest"):
            read_manifest(bundle)


def add_reader(bundle: Path) -> None:
    """Files as a reader might have; nobody looks into them here."""
    (bundle / "reader" / "lora").mkdir(parents=True)
    (bundle / "reader" / "reader.json").write_text('{"heads": 2}')
    (bundle / "reader" / "lora" / "adapter.safetensors").write_bytes(bytes(range(64)))


class TestReranker:
    """A reranker in the bundle: nothing that is stored depends on it, but recalls use it."""

    FILES = ("reranker/config.json", "reranker/model.safetensors")

    def test_it_is_named_file_by_file_outside_the_fingerprint(self, bundle: Path) -> None:
        manifest = read_manifest(bundle)
        assert tuple(sorted(manifest.reranker)) == self.FILES
        assert manifest.reader == {}
        assert manifest.all_files == {**manifest.files, **manifest.reranker}
        for name, digest in manifest.reranker.items():
            assert digest == hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        assert bundled_part(bundle, RERANKER) == bundle / "reranker"
        with_one = ModelBundle(bundle)
        assert with_one.reranker is not None
        shutil.rmtree(bundle / "reranker")
        without = write_manifest(bundle, "tiny-0")
        assert "reranker" not in json.loads((bundle / "manifest.json").read_text())
        assert without.files == manifest.files
        assert without.fingerprint == with_one.fingerprint
        assert without.latents_fingerprint == with_one.codec.fingerprint

    @pytest.mark.parametrize("name", FILES)
    def test_damage_to_it_is_found_when_the_bundle_is_loaded(self, bundle: Path, name: str) -> None:
        flip(bundle / name, (bundle / name).stat().st_size // 2)
        read_manifest(bundle)
        with pytest.raises(ModelError, match=f"file {name!r} of bundle 'tiny-0' is not the one"):
            ModelBundle(bundle).load()
        (bundle / name).unlink()
        with pytest.raises(ModelNotFoundError, match=f"lacks its file {name!r}"):
            ModelBundle(bundle)

    def test_a_file_that_was_put_there_is_found(self, bundle: Path) -> None:
        (bundle / "reranker" / "notes.txt").write_text("mine")
        with pytest.raises(ModelError, match="'reranker/notes.txt' is not in the manifest of bund"):
            ModelBundle(bundle)

    def test_a_bundle_may_do_without(self, bundle: Path) -> None:
        shutil.rmtree(bundle / "reranker")
        write_manifest(bundle, "tiny-0")
        assert ModelBundle(bundle).reranker is None
        with pytest.raises(
            ModelNotFoundError, match="comes without a reranker: train one with `agentmem train rer"
        ):
            bundled_part(bundle, RERANKER)

    def test_weights_that_are_no_weights(self, bundle: Path) -> None:
        (bundle / "reranker" / "model.safetensors").write_bytes(b"not a tensor")
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match="reranker' does not fit its config.json"):
            ModelBundle(bundle).load()

    @pytest.mark.parametrize("listed", [None, ["a"], 3])
    def test_a_list_of_its_files_that_is_none(self, bundle: Path, listed: Any) -> None:
        rewrite(bundle / "manifest.json", lambda manifest: manifest.update(reranker=listed))
        with pytest.raises(ModelError, match="is not a bundle's manifest"):
            read_manifest(bundle)

    def test_it_stays_beside_a_reader(self, bundle: Path) -> None:
        add_reader(bundle)
        manifest = write_manifest(bundle, "tiny-0")
        assert read_manifest(bundle) == manifest
        assert tuple(sorted(manifest.reranker)) == self.FILES
        assert all(name.startswith("reader/") for name in manifest.reader)
        assert list(manifest.all_files) == [
            *manifest.files,
            *manifest.reranker,
            *manifest.reader,
        ]


class TestPartsThatDoNotFit:
    """The hashes are right here; it is the parts that were put together wrongly."""

    def replace_keys(self, bundle: Path, **sizes: int) -> None:
        given = {"vocab_size": 384, "hidden_size": 32, "embedding_dims": 32, **sizes}
        with torch.random.fork_rng(devices=[]):
            EmbedderModel(EmbedderConfig(**given)).save_pretrained(bundle / "keys")
        write_manifest(bundle, "mixed")

    def test_an_embedder_of_another_vocabulary(self, bundle: Path) -> None:
        self.replace_keys(bundle, vocab_size=400)
        with pytest.raises(ModelError, match=r"different vocabulary sizes.*'keys': 400"):
            ModelBundle(bundle)

    def test_another_tokenizer(self, bundle: Path) -> None:
        texts = ["The quick brown fox jumps over the lazy dog."] * 9
        train_tokenizer_on(texts, bundle / "tokenizer", vocab_size=270)
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match=r"different vocabulary sizes.*'tokenizer': 270"):
            ModelBundle(bundle).tokenizer.encode("a")

    def test_a_reranker_of_another_vocabulary(self, bundle: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            other = LatentReranker(LatentRerankerConfig(vocab_size=400, hidden_size=16))
        other.save_pretrained(bundle / "reranker")
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match=r"different vocabulary sizes.*'reranker': 400"):
            ModelBundle(bundle)

    def test_a_reranker_of_other_codes(self, bundle: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            other = LatentReranker(LatentRerankerConfig(vocab_size=384, hidden_size=16, codes=255))
        other.save_pretrained(bundle / "reranker")
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match="reranker of bundle 'mixed' knows 255 codes.* 65025"):
            ModelBundle(bundle)

    def test_weights_of_another_shape(self, bundle: Path) -> None:
        file = bundle / "autoencoder" / "config.json"
        config = json.loads(file.read_text())
        file.write_text(json.dumps({**config, "encoder_layers": 2}))
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match="autoencoder' does not fit its config.json"):
            ModelBundle(bundle).load()

    def test_weights_that_are_no_weights(self, bundle: Path) -> None:
        (bundle / "keys" / "model.safetensors").write_bytes(b"not a tensor")
        write_manifest(bundle, "mixed")
        with pytest.raises(ModelError, match="keys' does not fit its config.json"):
            ModelBundle(bundle).load()


def test_loading_and_encoding_say_nothing(made: Path) -> None:
    script = (
        "import sys; from agentmem.models.bundle.load import ModelBundle\n"
        "model = ModelBundle(sys.argv[1]); model.encode([[9, 10]]); model.embedder.embed_query([9])"
    )
    assert_silent(script, made)
