"""What is done without torch: every command and verb that neither encodes nor decodes a text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import ModelError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_bundle
from tests.support.cli import ROOT

# Loaded one after another in one process: the first that loads a module is the one that is named.
COMMANDS = """
import json, sys
from typer.testing import CliRunner
from agentmem_cli.app import app

loaded = {}
for args in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, (args, result.output)
    loaded[" ".join(args)] = [n for n in ("torch", "transformers") if n in sys.modules]
print(json.dumps(loaded))
"""

VERBS = """
import sys
from agentmem import Memory

with Memory(sys.argv[1], model=sys.argv[2]) as mem:
    ana = mem.scoped(user_id="ana")
    first = next(ana.list())
    assert first.text == "I like tea", first.text
    assert mem.get(first.id).speaker == "user"
    mem.update(first.id, metadata={"kind": "drink"})
    assert mem.stats().memories == 3
    assert mem.forget([first.id]).purged
    assert mem.verify(decode=False).checked == 2
    assert "torch" not in sys.modules
    assert mem.recall("what about coffee?", rerank="latent")[0].text
    assert "torch" in sys.modules and "transformers" not in sys.modules
with Memory(sys.argv[1], model=sys.argv[2]) as mem:
    assert mem.add("Ana moved to Lyon").ids
"""

PRELOAD = """
import sys
from agentmem import Memory

Memory(":memory:", model=sys.argv[1]).close()
assert "torch" not in sys.modules
Memory(":memory:", model=sys.argv[1], preload=True).close()
assert "torch" in sys.modules and "transformers" not in sys.modules
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def process(code: str, *args: object, **environment: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli")),
            **{name: str(value) for name, value in environment.items()},
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(folder: Path, model: ModelBundle, **options: Any) -> Path:
    with Memory(folder, model=model, **options) as memory:
        memory.add("I like tea", user_id="ana")
        memory.add(["I like coffee", "the train leaves at nine"], user_id="ben")
    return folder


def test_commands_that_read_no_text_load_no_torch(bundle: Path, tmp_path: Path) -> None:
    store = filled(tmp_path / "store", ModelBundle(bundle))
    commands = [
        ["stats"],
        ["list", "--quiet"],
        ["forget", "--user", "ana", "--dry-run"],
        ["verify", "--no-decode"],
        ["doctor"],
        ["backup", str(tmp_path / "copy")],
    ]
    loaded = process(COMMANDS, json.dumps(commands), AGENTMEM_STORE=store, AGENTMEM_MODEL=bundle)
    assert json.loads(loaded) == {" ".join(args): [] for args in commands}


def test_verbs_load_torch_when_a_text_is_first_encoded(bundle: Path, tmp_path: Path) -> None:
    store = filled(tmp_path / "store", ModelBundle(bundle), keep_text=True)
    process(VERBS, store, bundle)


def test_preload_loads_the_networks_at_once(bundle: Path) -> None:
    process(PRELOAD, bundle)


def test_files_that_changed_after_opening_are_not_loaded(bundle: Path, tmp_path: Path) -> None:
    """An upgrade while a process runs: its store is bound to the files that were there."""
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    with Memory(":memory:", model=copy) as memory:
        weights = copy / "keys" / "model.safetensors"
        saved = weights.read_bytes()
        weights.write_bytes(saved[:-1] + bytes([saved[-1] ^ 1]))
        with pytest.raises(ModelError, match=r"'keys/model.safetensors' of bundle .* is not the"):
            memory.add("I like tea")
        assert memory.stats().memories == 0
        weights.write_bytes(saved)
        assert memory.add("I like tea").ids  # a failure to load is not for ever
