"""A folder with a model may be from anybody: no code in it is run, nor asked for, nor any bomb."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import write_manifest
from agentmem.models.embedder.sentence_transformers import SentenceTransformerEmbedder
from agentmem.models.huggingface import load_causal_lm, load_encoder, load_tokenizer
from agentmem.models.plain import require_plain
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.testing import tiny_bundle
from tests.models.embedder.test_sentence_transformers import make_model
from tests.support.language_models import save_lm

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def plain_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lm(tmp_path_factory.mktemp("lm") / "lm")


@pytest.fixture(scope="module")
def plain_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("st") / "small")


@pytest.fixture
def lm(plain_lm: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain_lm, tmp_path / "lm"))


@pytest.fixture
def embedder(plain_embedder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain_embedder, tmp_path / "small"))


@pytest.fixture(autouse=True)
def sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that hostile code would write; nothing may be asked on standard input."""

    def refuse(*args: Any) -> str:
        raise AssertionError("something was asked on standard input")

    monkeypatch.setattr("builtins.input", refuse)
    yield tmp_path / "was-run"
    assert not (tmp_path / "was-run").exists()


class Payload:
    """Writes the sentinel when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def change(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | values), encoding="utf-8")


def bring_code(home: Path, file: str, sentinel: Path, **auto_map: Any) -> None:
    (home / "evil.py").write_text(f"open({str(sentinel)!r}, 'w').close()\nclass Evil: pass\n")
    change(home / file, auto_map=auto_map, model_type="evil")


LOADERS: dict[str, Callable[[Path], object]] = {
    "causal": lambda place: load_causal_lm(place, torch.float32),
    "encoder": load_encoder,
    "tokenizer": load_tokenizer,
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS.keys())
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_language_model_is_refused(
    lm: Path, sentinel: Path, loader: Callable[[Path], object], file: str
) -> None:
    names = {
        "AutoConfig": "evil.Evil",
        "AutoModelForCausalLM": "evil.Evil",
        "AutoModel": "evil.Evil",
        "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    }
    bring_code(lm, file, sentinel, **names)
    with pytest.raises(ModelError, match=f"{file} .* asks for code of its own, which is never run"):
        loader(lm)


def test_code_of_a_sentence_transformers_model_is_refused(embedder: Path, sentinel: Path) -> None:
    bring_code(embedder, "config.json", sentinel, AutoModel="evil.Evil")
    with pytest.raises(ModelError, match="asks for code of its own"):
        SentenceTransformerEmbedder(str(embedder))


@pytest.mark.parametrize("kind", ["evil.Evil", "os.system", None])
def test_a_module_of_another_package_is_refused(
    embedder: Path, sentinel: Path, kind: str | None
) -> None:
    (embedder / "evil.py").write_text(f"open({str(sentinel)!r}, 'w').close()\nclass Evil: pass\n")
    modules = json.loads((embedder / "modules.json").read_text(encoding="utf-8"))
    modules[-1]["type"] = kind
    (embedder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(ModelError, match="asks for a class"):
        SentenceTransformerEmbedder(str(embedder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_weights_that_have_to_be_unpickled_are_refused(
    lm: Path, embedder: Path, sentinel: Path, name: str
) -> None:
    for home, load in (
        (lm, LOADERS["causal"]),
        (embedder, lambda place: SentenceTransformerEmbedder(str(place))),
    ):
        for file in home.glob("*.safetensors"):
            file.unlink()
        (home / name).write_bytes(pickle.dumps(Payload(sentinel)))
        with pytest.raises(ModelError, match=f"{name}.*a format that may run code"):
            load(home)


def test_beside_safetensors_they_are_not_read(lm: Path, sentinel: Path) -> None:
    (lm / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(sentinel)))
    assert load_causal_lm(lm, torch.float32).config.model_type == "llama"


@pytest.mark.parametrize(
    "bomb",
    [
        {"hidden_size": 2**31},
        {"vocab_size": 2**40},
        {"num_hidden_layers": 10**9},
        {"hidden_size": -1},
        {"text_config": {"intermediate_size": 2**50}},
    ],
    ids=str,
)
def test_a_configuration_that_is_larger_than_its_weights_is_refused(
    lm: Path, bomb: dict[str, Any]
) -> None:
    change(lm / "config.json", **bomb)
    with pytest.raises(ModelError, match="nothing was loaded"):
        load_causal_lm(lm, torch.float32)


@pytest.mark.parametrize("part", ["autoencoder", "keys"])
def test_so_is_one_of_a_bundle(tmp_path: Path, part: str) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    change(bundle / part / "config.json", vocab_size=2**40)
    with pytest.raises(ModelError):
        ModelBundle(bundle)


def test_nothing_is_built_for_sizes_that_no_weights_bear_out(tmp_path: Path) -> None:
    """The manifest fits the files, and a power of the first of them would not end."""
    for part, name in (("autoencoder", "slot_dims"), ("keys", "hidden_size")):
        bundle = tiny_bundle(tmp_path / part)
        change(bundle / part / "config.json", **{name: 2**40})
        write_manifest(bundle, "bomb")
        with pytest.raises(ModelError, match=f"has {name} = .*nothing was loaded"):
            ModelBundle(bundle)


@pytest.mark.parametrize("name", ["codes", "vocab_size", "intermediate_size"])
def test_nor_for_those_of_a_reranker(tmp_path: Path, name: str) -> None:
    sizes = LatentRerankerConfig(vocab_size=32, hidden_size=8, intermediate_size=8, codes=9)
    LatentReranker(sizes).save_pretrained(tmp_path)
    assert LatentReranker.from_pretrained(tmp_path).config == sizes
    change(tmp_path / "config.json", **{name: 2**40})
    with pytest.raises(ModelError, match=f"has {name} = .*nothing was loaded"):
        LatentReranker.from_pretrained(tmp_path)


def test_nor_where_there_are_no_safetensors(tmp_path: Path, sentinel: Path) -> None:
    LatentRerankerConfig(codes=2**50).save_pretrained(tmp_path)
    for name in ("pytorch_model.bin", "model.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload(sentinel)))
    with pytest.raises(ModelNotFoundError, match=r"it has no model\.safetensors"):
        LatentReranker.from_pretrained(tmp_path)


def test_a_configuration_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ModelError, match="is not JSON"):
        LatentRerankerConfig.from_pretrained(tmp_path)


def test_plain_folders_pass(plain_lm: Path, plain_embedder: Path) -> None:
    require_plain(plain_lm)
    require_plain(plain_embedder)
    assert SentenceTransformerEmbedder(str(plain_embedder)).dims == 24


def test_nothing_else_loads_a_model_of_anybody() -> None:
    """A new place that loads a model has to go through the one that checks."""
    found = []
    for folder in ("agentmem", "cli", "storage", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _loads(node):
                    given = {keyword.arg: keyword.value for keyword in node.keywords}
                    trusted = given.get("trust_remote_code")
                    if not isinstance(trusted, ast.Constant) or trusted.value is not False:
                        found.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _loads(node: ast.Call) -> bool:
    name = ast.unparse(node.func)
    return name == "SentenceTransformer" or (
        name.startswith(("AutoModel", "AutoTokenizer", "AutoConfig"))
        and name.endswith(".from_pretrained")
    )
