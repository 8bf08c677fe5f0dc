"""What is done without torch and transformers: everything but reading, training and their tests.

The processes here cannot import them, as if they were not installed.
"""

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
from agentmem_storage.sync.in_process import IndexSync
from tests.support.cli import ROOT

WITHOUT_TORCH = """
import sys
missing = ("torch", "transformers", "tokenizers", "huggingface_hub", "accelerate")
sys.modules.update(dict.fromkeys(missing))
"""

# One command after the other in one process: exit codes and what was printed.
COMMANDS = """
import json
from typer.testing import CliRunner
from agentmem_cli.app import app

done = []
for args in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, args)
    done.append((result.exit_code, result.output))
print(json.dumps(done))
"""

VERBS = """
from agentmem import Memory
from agentmem.chat.reader import MemoryReader
from agentmem.errors import MissingExtraError

with Memory(sys.argv[1], keep_text=True) as mem:
    mem.add(["I booked the 9:40 train to Lyon.", "Marta is allergic to peanuts."], user_id="ana")
    mem.add({"role": "user", "content": "列车九点四十分开往里昂。" * 40}, user_id="ben")
with Memory(sys.argv[1]) as mem:
    mem.add("The key is under the mat.", user_id="ana")
    hit = mem.recall("what is Marta allergic to?", user_id="ana", rerank="latent")[0]
    assert hit.text == "Marta is allergic to peanuts.", hit.text
    assert mem.get(hit.id).text == hit.text
    assert mem.update(hit.id, text="Marta eats peanuts again.")
    assert mem.recall("peanuts").pack(max_tokens=100).to_text()
    assert mem.verify().ok and mem.stats().memories == len(list(mem.list()))
    assert mem.forget(user_id="ben").purged
    assert "".join(chunk.text for chunk in mem.list(user_id="ben")) == ""
    for needs in (
        lambda: Memory(":memory:", runtime="torch"),
        lambda: MemoryReader.from_pretrained(),
        lambda: mem.recall("peanuts").pack(max_tokens=9).to_cache(None, tokenizer=None),
    ):
        try:
            needs()
        except MissingExtraError as error:
            assert "pip install 'latent-agentmem[reader]'" in str(error), error
        else:
            raise AssertionError(needs)
"""

# `stats`, `list` of stored texts and the like need not even the networks that NumPy computes.
NETWORKS = """
from agentmem import Memory

NUMPY = "agentmem.models.autoencoder.numpy_runtime"
with Memory(sys.argv[1], model=sys.argv[2]) as mem:
    ana = mem.scoped(user_id="ana")
    first = next(ana.list())
    assert first.text == "I like tea", first.text
    assert mem.get(first.id).speaker == "user"
    mem.update(first.id, metadata={"kind": "drink"})
    assert mem.stats().memories == 3
    assert mem.forget([first.id]).purged
    assert mem.verify(decode=False).checked == 2
    assert NUMPY not in sys.modules
    # Nor what only encrypted stores, archives and increments need.
    others = ("encryption.layout", "sql.sealed.encrypted", "archive.records", "increments")
    assert not [one for one in others if f"agentmem_storage.{one}" in sys.modules]
    assert "agentmem.models.bundle.networks" not in sys.modules
    assert mem.recall("what about coffee?", rerank="latent")[0].text
    # Nor does a recall need what encodes.
    assert "agentmem.models.reranker.numpy_runtime" in sys.modules
    assert NUMPY not in sys.modules
    # Nor one of a small store what searches large ones.
    assert "faiss" not in sys.modules
    ana.add("I like water")
    assert NUMPY in sys.modules
"""

PRELOAD = """
from agentmem import Memory

NUMPY = "agentmem.models.autoencoder.numpy_runtime"
Memory(":memory:", model=sys.argv[1]).close()
assert NUMPY not in sys.modules
# Which takes as long to import as to compile all expressions that a store needs.
assert "regex" not in sys.modules
Memory(":memory:", model=sys.argv[1], preload=True).close()
assert NUMPY in sys.modules
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def process(code: str, *args: object, **environment: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, args)],
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


def test_every_verb_works(tmp_path: Path) -> None:
    process(VERBS, tmp_path / "store")


def test_every_command_works(bundle: Path, tmp_path: Path) -> None:
    commands = [
        ["add", "I like tea", "--user", "ana"],
        ["add", "the train to Lyon leaves at nine", "--user", "ben"],
        ["recall", "when does the train leave?"],
        ["list"],
        ["stats"],
        ["verify"],
        ["doctor"],
        ["backup", str(tmp_path / "copy")],
        ["forget", "--user", "ana", "--yes"],
        ["model", "verify"],
        ["ask", "when does the train leave?"],
    ]
    store = tmp_path / "store"
    done = json.loads(
        process(COMMANDS, json.dumps(commands), AGENTMEM_STORE=store, AGENTMEM_MODEL=bundle)
    )
    assert [code for code, _ in done] == [0] * len(commands), done
    shown = dict(zip((args[0] for args in commands), (text for _, text in done), strict=True))
    assert "the train to Lyon" in shown["recall"]
    assert "not installed; only the reader" in " ".join(shown["doctor"].split())
    # Without a reader the memories are shown, and how to get answers.
    assert "the train to Lyon" in shown["ask"]
    assert "pip install 'latent-agentmem[reader]'" in " ".join(shown["ask"].split())


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["reader", "show"], "reader"),
        (["reader", "install"], "reader"),
        (["reader", "prepare"], "reader"),
        (["ask", "when?", "--reader", "."], "reader"),
    ],
)
def test_a_command_that_needs_torch_names_the_extra(
    bundle: Path, tmp_path: Path, command: list[str], extra: str
) -> None:
    store = filled(tmp_path / "store", ModelBundle(bundle))
    ((code, shown),) = json.loads(
        process(COMMANDS, json.dumps([command]), AGENTMEM_STORE=store, AGENTMEM_MODEL=bundle)
    )
    assert code == 8, shown
    assert f"pip install 'latent-agentmem[{extra}]'" in " ".join(shown.split())


def test_networks_are_loaded_when_a_text_is_first_encoded(bundle: Path, tmp_path: Path) -> None:
    store = filled(tmp_path / "store", ModelBundle(bundle), keep_text=True)
    process(NETWORKS, store, bundle)


def test_preload_loads_the_networks_at_once(bundle: Path) -> None:
    process(PRELOAD, bundle)


def test_preload_loads_the_index_at_once(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store", ModelBundle(bundle), keep_text=True)
    with Memory(store, model=bundle, preload=True) as memory:
        monkeypatch.setattr(IndexSync, "_load", None)
        assert memory.recall("tea", mode="vector")


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
