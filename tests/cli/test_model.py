"""`agentmem model`: what a bundle is, and every kind of damage to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.bundle.inspect import SAMPLES, check_bundle, describe_bundle
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import write_manifest
from agentmem.models.bundle.parts import BundleCodec
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli
from tests.support.cli import bundle as shared_bundle


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(shared_bundle(), tmp_path / "bundle"))


class TestShow:
    def test_the_facts_are_those_of_the_loaded_parts(self, cli: Cli, bundle: Path) -> None:
        (bundle / "training.json").write_text('{"keys": {"name": "keys-cpu", "seed": 1}}')
        (bundle / "evaluation.json").write_text('{"speed": {"adds_per_second": 812.5}}')
        output = cli.json("model", "show", "--model", bundle)
        model = ModelBundle(bundle)
        files = {file["path"]: file for file in output.pop("files")}
        for path, file in files.items():
            data = (bundle / path).read_bytes()
            assert file["bytes"] == len(data)
            assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert {"autoencoder/model.safetensors", "tokenizer/tokenizer.json"} < set(files)
        assert list(files)[-2:] == ["reranker/config.json", "reranker/model.safetensors"]
        networks = {
            "autoencoder": MemoryAutoencoder.from_pretrained(bundle / "autoencoder"),
            "keys": EmbedderModel.from_pretrained(bundle / "keys"),
            "reranker": LatentReranker.from_pretrained(bundle / "reranker"),
        }
        quantizations = networks["autoencoder"].config.quantizations
        assert list(output["quantizations"].values()) == sorted(quantizations.values())
        assert output == {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "format": 1,
            "parameters": {
                part: sum(weight.numel() for weight in network.parameters())
                for part, network in networks.items()
            },
            "quantizations": quantizations,
            "slot_dims": 2,
            "tokens_per_vector": 16,
            "max_tokens": model.codec.max_tokens,
            "embedding_dims": model.embedder.dims,
            "vocab_size": model.tokenizer.vocab_size,
            "runs": {"keys": "keys-cpu"},
            "evaluation": {"speed": {"adds_per_second": 812.5}},
        }

    def test_people_see_them_too(self, cli: Cli, bundle: Path) -> None:
        (bundle / "evaluation.json").write_text('{"speed": {"adds_per_second": 812.5}}')
        shown = cli.ok("model", "show", "--model", bundle)
        facts = describe_bundle(bundle)
        for word in (facts.fingerprint, facts.files[0].sha256, "speed / adds_per_second"):
            assert word in shown
        assert cli.ok("model", "show", "--model", bundle, "--quiet") == f"{facts.fingerprint}\n"

    def test_no_network_is_loaded(self, bundle: Path) -> None:
        code = (
            "import sys; from agentmem.models.bundle.inspect import describe_bundle\n"
            "describe_bundle(sys.argv[1])\n"
            "print([name for name in ('torch', 'transformers') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, bundle],
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        assert done.stdout == "[]\n"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("autoencoder/config.json", '{"vocab_size": 384}'),
            ("autoencoder/config.json", "[]"),
            ("autoencoder/model.safetensors", "no weights"),
            ("training.json", "[1]"),
            ("evaluation.json", "{"),
        ],
    )
    def test_what_another_program_wrote(self, cli: Cli, bundle: Path, name: str, text: str) -> None:
        (bundle / name).write_text(text)
        manifest = json.loads((bundle / "manifest.json").read_text())
        if name in manifest["files"]:
            manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        cli.error(ExitCode.MODEL, "model", "show", "--model", bundle)


class TestReranker:
    def test_it_is_verified(self, cli: Cli, bundle: Path) -> None:
        files = cli.json("model", "verify", "--model", bundle)["files"]
        assert files == len(cli.json("model", "show", "--model", bundle)["files"])
        weights = bundle / "reranker" / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        done = cli.run("model", "verify", "--model", bundle, "--quiet")
        assert done.exit_code == ExitCode.DAMAGE
        assert done.stdout.startswith("file 'reranker/model.safetensors' of bundle 'tiny-0' is no")
        cli.error(ExitCode.MODEL, "model", "show", "--model", bundle)
        (bundle / "reranker" / "more").touch()
        done = cli.run("model", "verify", "--model", bundle)
        assert "'reranker/more' is not in the manifest" in " ".join(done.stdout.split())
        assert done.stdout.splitlines()[-1] == "2 faults"

    def test_one_that_does_not_fit_the_bundle(self, cli: Cli, bundle: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            other = LatentReranker(LatentRerankerConfig(vocab_size=400, hidden_size=16))
        other.save_pretrained(bundle / "reranker")
        write_manifest(bundle, "mixed")
        done = cli.run("model", "verify", "--model", bundle, "--quiet")
        assert done.exit_code == ExitCode.DAMAGE
        assert "have different vocabulary sizes" in done.stdout

    def test_a_bundle_without_one(self, cli: Cli, bundle: Path) -> None:
        shutil.rmtree(bundle / "reranker")
        write_manifest(bundle, "plain")
        assert "no problems" in cli.ok("model", "verify", "--model", bundle)
        output = cli.json("model", "show", "--model", bundle)
        assert "reranker" not in output["parameters"]
        assert not any("reranker" in file["path"] for file in output["files"])
        cli.ok("add", "The train leaves at 9:40.", "--model", bundle)
        assert "9:40" in cli.ok("recall", "when does the train leave?", "--model", bundle)


class TestVerify:
    def test_a_whole_bundle(self, cli: Cli, bundle: Path) -> None:
        output = cli.json("model", "verify", "--model", bundle)
        assert (output["ok"], output["faults"], output["samples"]) == (True, [], len(SAMPLES))
        assert output["fingerprint"] in cli.ok("model", "verify", "--model", bundle)
        assert cli.ok("model", "verify", "--model", bundle, "--quiet") == ""

    def test_every_damaged_and_missing_file_is_named(self, cli: Cli, bundle: Path) -> None:
        for name in ("keys/model.safetensors", "tokenizer/tokenizer.json"):
            data = bytearray((bundle / name).read_bytes())
            data[len(data) // 2] ^= 1
            (bundle / name).write_bytes(data)
        (bundle / "autoencoder/config.json").unlink()
        done = cli.run("model", "verify", "--model", bundle, "--quiet")
        assert done.exit_code == ExitCode.DAMAGE
        first, *others = done.stdout.splitlines()
        assert "lacks its file 'autoencoder/config.json'" in first
        assert [line.split("'")[1] for line in others] == [
            "keys/model.safetensors",
            "tokenizer/tokenizer.json",
        ]
        shown = cli.run("model", "verify", "--model", bundle)
        assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (ExitCode.DAMAGE, "3 faults")
        cli.error(ExitCode.NOT_FOUND, "model", "show", "--model", bundle)

    def test_weights_that_do_not_fit(self, cli: Cli, bundle: Path) -> None:
        data = b"no weights"
        (bundle / "keys/model.safetensors").write_bytes(data)
        manifest = json.loads((bundle / "manifest.json").read_text())
        manifest["files"]["keys/model.safetensors"] = hashlib.sha256(data).hexdigest()
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        done = cli.run("model", "verify", "--model", bundle)
        assert done.exit_code == ExitCode.DAMAGE
        assert "does not fit its config.json" in done.stdout

    def test_a_network_that_forgets_is_found(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = BundleCodec.regenerate

        def one_wrong(self: BundleCodec, latents: Any, **options: Any) -> list[list[int]]:
            found = real(self, latents, **options)
            found[-1] = [*found[-1][:-1], found[-1][-1] ^ 1]
            return found

        monkeypatch.setattr(BundleCodec, "regenerate", one_wrong)
        quantizations = ModelBundle(bundle).codec.quantizations
        assert len(check_bundle(bundle).faults) == len(SAMPLES) * len(quantizations)

    def test_latents_that_are_packed_wrongly_are_found(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = BundleCodec.unpack

        def shifted(self: BundleCodec, packed: bytes, tokens: int) -> NDArray[np.int8]:
            return np.roll(real(self, packed, tokens), 1)

        monkeypatch.setattr(BundleCodec, "unpack", shifted)
        assert not check_bundle(bundle).ok

    def test_no_bundle(self, cli: Cli, tmp_path: Path) -> None:
        for command in ("show", "verify"):
            cli.error(ExitCode.NOT_FOUND, "model", command, "--model", tmp_path / "nowhere")
