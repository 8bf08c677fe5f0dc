"""The command migrate."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.bundles import with_other_embedder
from tests.support.cli import Cli, bundle


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_other_embedder(tmp_path_factory.mktemp("other") / "bundle")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path)
    made.ok("add", "I like tea", "The train leaves at 9:40", "--user", "ana")
    return made


def test_a_store_gets_another_embedder(cli: Cli, other: Path, tmp_path: Path) -> None:
    refused = cli.error(ExitCode.MODEL, "recall", "tea", "--model", other)
    assert f"agentmem migrate --store {cli.store}" in refused
    shown = cli.ok("migrate", "--model", other, "--keep-old", tmp_path / "old")
    assert "only embeddings were made" in shown
    assert f"the old store is in {tmp_path / 'old'}" in shown.replace("\n", "")
    assert "before" in shown
    assert cli.json("recall", "tea", "--model", other)["hits"][0]["text"] == "I like tea"
    assert "nothing to do" in cli.ok("migrate", "--model", other)
    assert cli.ok("migrate", "--model", other, "--quiet") == "2\n"
    kept = cli.json("recall", "tea", "--store", tmp_path / "old")
    assert kept["hits"][0]["text"] == "I like tea"


def test_as_json_and_back(cli: Cli, other: Path) -> None:
    found = cli.json("migrate", "--model", other, "--from-model", bundle())
    assert (found["changed"], found["split"], found["kept"]) == ("embeddings", [], None)
    assert found["before"]["memories"] == found["after"]["memories"] == 2
    assert cli.json("migrate")["after"]["fingerprint"] == found["before"]["fingerprint"]
    assert cli.ok("verify", "--quiet") == ""


def test_without_the_bundle_that_wrote_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentmem.testing import tiny_bundle

    monkeypatch.setenv("HOME", str(tmp_path))
    third = tiny_bundle(tmp_path / "third", seed=3)
    error = cli.error(ExitCode.MODEL, "migrate", "--model", third)
    assert "AGENTMEM_BUNDLES" in error
    monkeypatch.setenv("AGENTMEM_BUNDLES", str(bundle()))
    assert cli.ok("migrate", "--model", third, "--quiet") == "2\n"
