"""The default embedder: a sentence encoder in the bundle, beside the tiny one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agentmem import Memory
from agentmem.errors import IncompatibleModelError, InputError, ModelError, ModelNotFoundError
from agentmem.models import register_embedder
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.models.bundle.manifest import EMBEDDER, open_manifest, shipped_bundle, write_manifest
from agentmem.models.embedder.sentence_encoder import SentenceEncoder, SentenceEncoderConfig
from agentmem.models.load import load_model
from agentmem.testing import tiny_bundle

TEXTS = ("I live in Paris.", "The dog ate my shoes.", "", "ünï 你好 🙂", "word " * 2_000)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(shipped_bundle() / EMBEDDER)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with the shipped sentence encoder."""
    folder = tiny_bundle(tmp_path_factory.mktemp("encoder") / "bundle")
    shutil.copytree(shipped_bundle() / EMBEDDER, folder / EMBEDDER)
    write_manifest(folder, "tiny-0")
    return folder


def test_embeddings_have_unit_norm(encoder: SentenceEncoder) -> None:
    made = encoder.embed(TEXTS)
    assert made.shape == (len(TEXTS), encoder.config.dims) == (len(TEXTS), 384)
    assert made.dtype == np.float32
    assert np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_a_text_is_embedded_alike_alone_and_among_others(encoder: SentenceEncoder) -> None:
    together = encoder.embed(TEXTS)
    for row, text in enumerate(TEXTS):
        assert np.array_equal(encoder.embed([text])[0], together[row])
    assert encoder.embed([]).shape == (0, 384)


def test_meaning_is_closer_than_other_words(encoder: SentenceEncoder) -> None:
    question, home, dog = encoder.embed(["Where is my home?", *TEXTS[:2]])
    assert question @ home > question @ dog + 0.1


def test_what_is_behind_the_limit_does_not_count(encoder: SentenceEncoder) -> None:
    long, longer = encoder.embed(["word " * 400, "word " * 400 + "zebra"])
    assert np.array_equal(long, longer)


def test_damage_is_an_error_of_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        SentenceEncoder(folder)
    shutil.copytree(shipped_bundle() / EMBEDDER, folder)
    (folder / "config.json").write_text('{"name": "x", "dims": 0, "max_tokens": 9}')
    with pytest.raises(ModelError, match="not of a sentence encoder"):
        SentenceEncoderConfig.from_folder(folder)
    (folder / "config.json").write_text('{"name": "x", "dims": 7, "max_tokens": 9}')
    with pytest.raises(ModelError, match="cannot embed"):
        SentenceEncoder(folder).embed(["text"])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer"):
        SentenceEncoder(folder)


def test_a_store_keeps_the_embedder_that_it_was_created_with(bundle: Path, tmp_path: Path) -> None:
    manifest = open_manifest(bundle)
    with Memory(tmp_path / "small", model=bundle, embedder="tiny") as memory:
        memory.add("I live in Paris.")
        assert memory.stats().fingerprint == manifest.tiny_fingerprint
    with Memory(tmp_path / "new", model=bundle) as memory:
        memory.add("I live in Paris.")
        assert memory.stats().fingerprint == manifest.fingerprint
    with pytest.raises(IncompatibleModelError, match="only the embedder differs"):
        Memory(tmp_path / "new", model=bundle, embedder="tiny")


def test_a_store_of_the_tiny_embedder_opens_as_it_is(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="tiny") as memory:
        memory.add("I live in Paris.")
    with Memory(tmp_path) as memory:
        memory.add("I moved to Rome.")
        assert "I live in Paris." in {hit.text for hit in memory.recall("Paris")}
        manifest = open_manifest(shipped_bundle())
        assert memory.stats().fingerprint == manifest.tiny_fingerprint


def test_only_the_tiny_embedder_is_reranked_by_default(bundle: Path) -> None:
    assert ModelBundle(bundle, tiny=True).reranks
    assert not ModelBundle(bundle).reranks
    assert ModelBundle(bundle).reranker is not None


def test_latents_do_not_depend_on_the_embedder(bundle: Path) -> None:
    both = [ModelBundle(bundle, tiny=tiny) for tiny in (False, True)]
    assert len({one.codec.fingerprint for one in both}) == 1
    assert len({one.fingerprint for one in both}) == 2
    assert [one.embedder.dims for one in both] == [384, 32]


def test_tiny_is_one_of_a_bundle() -> None:
    with pytest.raises(InputError, match="give model= as its folder"):
        load_model(load_bundle(), embedder="tiny")
    with pytest.raises(InputError, match="'tiny'"):
        register_embedder("tiny", lambda _: pytest.fail("never made"))


def test_a_changed_file_of_the_encoder_is_noticed(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    (copy / EMBEDDER / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"embedder/tokenizer\.json"):
        ModelBundle(copy)
    ModelBundle(copy, tiny=True)
