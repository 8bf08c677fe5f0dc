"""The commands dossier, audit and certificate, and certificates of `forget`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path / "store")
    made.ok("add", "I like tea", "The train leaves at 9:40", "--user", "ana")
    made.ok("add", "Porto", "--user", "bob")
    return made


def test_dossier(cli: Cli, tmp_path: Path) -> None:
    found = json.loads(cli.ok("dossier", "--user", "ana"))
    assert [source["text"] for source in found["sources"]] == [
        "I like tea",
        "The train leaves at 9:40",
    ]
    file = tmp_path / "ana.json"
    assert cli.ok("dossier", file, "--user", "ana") == f"2 memories written to {file}\n"
    assert json.loads(file.read_text(encoding="utf-8"))["sources"] == found["sources"]
    assert "exists already" in cli.error(ExitCode.INPUT, "dossier", file, "--user", "ana")
    assert cli.ok("dossier", tmp_path / "b.json", "--user", "bob", "-q") == f"{tmp_path}/b.json\n"
    assert "--user" in cli.error(ExitCode.USAGE, "dossier")


def test_audit(cli: Cli) -> None:
    assert "audit --begin" in cli.error(ExitCode.INPUT, "audit")
    cli.ok("audit", "--begin")
    cli.ok("add", "said later", "--user", "ana")
    cli.ok("forget", 3, "--yes")
    shown = cli.ok("audit")
    assert [word in shown for word in ("began", "added", "ana", "forgotten", "bob")] == [True] * 5
    lines = [json.loads(line) for line in cli.ok("audit", "--user", "ana", "--json").splitlines()]
    assert [(line["op"], line["user_id"], line["ids"]) for line in lines] == [("added", "ana", [4])]
    assert cli.ok("audit", "--quiet").split() == ["1", "2", "3"]
    cli.ok("audit", "--end")
    cli.ok("add", "not noted", "--user", "ana")
    assert cli.ok("audit", "--quiet").split() == ["1", "2", "3", "4"]
    assert "not both" in cli.error(ExitCode.USAGE, "audit", "--begin", "--end")


def test_certificates(cli: Cli, tmp_path: Path) -> None:
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    own = Ed25519PrivateKey.generate()
    key.write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        own.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    file, plain = tmp_path / "gone.json", tmp_path / "plain.json"
    signed = ("--certificate", file, "--signing-key", key)
    cli.ok("forget", "--user", "ana", "--yes", *signed)
    assert cli.ok("certificate", file, "--public-key", public, "--quiet").split() == ["1", "2"]
    assert cli.json("certificate", file)["asked"] == {"user_id": "ana"}
    shown = cli.ok("certificate", file)
    assert "2 memories forgotten" in shown
    assert "signed by" in shown
    cli.ok("forget", 3, "--certificate", plain)
    assert "not signed" in cli.ok("certificate", plain)
    assert "not signed" in cli.error(ExitCode.INPUT, "certificate", plain, "--public-key", public)
    plain.write_text(plain.read_text().replace('"memories": 1', '"memories": 2'))
    assert "altered" in cli.error(ExitCode.INPUT, "certificate", plain)
    usage = ("forget", "--user", "bob", "--dry-run", "--certificate", tmp_path / "x")
    assert "--certificate" in cli.error(ExitCode.USAGE, *usage)
