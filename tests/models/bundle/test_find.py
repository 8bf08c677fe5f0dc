"""Bundles are found by fingerprint, so that a store opens after the shipped bundle has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import IncompatibleModelError
from agentmem.models.bundle import find
from agentmem.models.bundle.find import find_bundle, latents_of
from agentmem.models.bundle.manifest import open_manifest, shipped_bundle
from agentmem.models.fingerprints import split_own_embedder
from agentmem.testing import tiny_bundle


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AGENTMEM_BUNDLES", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("find") / "tiny", seed=5)


def test_the_shipped_bundle_is_found() -> None:
    manifest = open_manifest(shipped_bundle())
    assert find_bundle(manifest.fingerprint) == shipped_bundle()
    assert latents_of(manifest.fingerprint) == manifest.latents_fingerprint


def test_with_an_embedder_of_ones_own_the_latents_decide() -> None:
    manifest = open_manifest(shipped_bundle())
    model = f"{manifest.latents_fingerprint}, keys of all MiniLM 0123"
    assert find_bundle(model) == shipped_bundle()
    assert latents_of(model) == manifest.latents_fingerprint
    assert split_own_embedder(model) == (manifest.latents_fingerprint, "all MiniLM", "0123")
    assert split_own_embedder(manifest.tiny_fingerprint) is None


def test_what_is_nowhere_is_not_found(tiny: Path) -> None:
    assert find_bundle(open_manifest(tiny).fingerprint) is None
    assert latents_of(open_manifest(tiny).fingerprint) is None


@pytest.mark.parametrize("inside", [False, True])
def test_in_the_folders_of_the_environment(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    places = [tmp_path / "missing", tiny.parent if inside else tiny]
    monkeypatch.setenv("AGENTMEM_BUNDLES", os.pathsep.join(map(str, places)))
    assert find_bundle(open_manifest(tiny).fingerprint) == tiny


def test_a_damaged_bundle_does_not_hide_others(tiny: Path, home: Path) -> None:
    folder = home / ".agentmem" / "bundles"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "manifest.json").write_text("{")
    shutil.copytree(tiny, folder / "b")
    assert find_bundle(open_manifest(tiny).fingerprint) == folder / "b"


def test_a_store_of_an_older_bundle_opens_once_that_is_found(
    tiny: Path, home: Path, tmp_path: Path
) -> None:
    """As after an upgrade that ships another bundle: the store names the old one."""
    place = tmp_path / "store"
    with Memory(place, model=tiny) as memory:
        memory.add("still here", user_id="ana")
    with pytest.raises(IncompatibleModelError) as caught:
        Memory(place)
    message = str(caught.value)
    assert caught.value.model == open_manifest(tiny).fingerprint
    for words in (
        find.USER_FOLDER,
        "AGENTMEM_BUNDLES",
        "agentmem migrate",
        repr(caught.value.model),
    ):
        assert words in message
    shutil.copytree(tiny, home / ".agentmem" / "bundles" / "old")
    with Memory(place) as memory:
        assert memory.recall("here", user_id="ana")[0].text == "still here"
        assert memory.stats().model == "tiny-5"
    # A bundle that was named is not replaced by another.
    with pytest.raises(IncompatibleModelError):
        Memory(place, model=shipped_bundle())


def test_every_fingerprint_that_is_known_without_its_bundle_is_of_sixteen_digits() -> None:
    assert open_manifest(shipped_bundle()).latents_fingerprint in find._LATENTS.values()
    for one in (*find._LATENTS, *find._LATENTS.values()):
        assert len(bytes.fromhex(one)) == 8
