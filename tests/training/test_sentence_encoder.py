"""The export of a pretrained sentence encoder, here a small one with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from agentmem.errors import ConfigError, ModelNotFoundError
from agentmem.models.embedder.sentence_encoder import GRAPH, SentenceEncoder
from agentmem.training.sentence_encoder.export import export_sentence_encoder
from tests.support.cli import Cli

WORDS = "[PAD] [UNK] [CLS] [SEP] the train to lyon leaves at nine my dog is called rex".split()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=48,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    ids = {word: id for id, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def exported(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_sentence_encoder(small, tmp_path_factory.mktemp("out") / "encoder", name="small")


def test_it_embeds_like_the_original(small: Path, exported: Path) -> None:
    encoder, bert = SentenceEncoder(exported), BertModel.from_pretrained(small).eval()
    tokenizer = Tokenizer.from_file(str(small / "tokenizer.json"))
    assert (encoder.config.name, encoder.config.dims, encoder.config.max_tokens) == (
        "small",
        64,
        48,
    )
    for text in ("my dog is called Rex", "the train leaves at nine", "", "the train " * 40):
        ids = torch.tensor([tokenizer.encode(text).ids[:47] + [3] if text else [2, 3]])
        with torch.no_grad():
            states = bert(input_ids=ids).last_hidden_state.mean(1)[0].numpy()
        wanted = states / np.linalg.norm(states)
        assert float(encoder.embed([text])[0] @ wanted) > 0.97


def test_the_same_weights_give_the_same_bytes(small: Path, exported: Path, tmp_path: Path) -> None:
    again = export_sentence_encoder(small, tmp_path / "again", name="small")
    graph = (exported / GRAPH).read_bytes()
    assert (again / GRAPH).read_bytes() == graph
    assert b".py" not in graph  # which lines of which files made a node


def test_products_of_two_rows_fit_into_16_bits(exported: Path) -> None:
    """Of 8-bit activations: processors without VNNI add them in pairs before they widen them."""
    weights = [
        numpy_helper.to_array(one)
        for one in onnx.load(exported / GRAPH).graph.initializer
        if one.data_type == onnx.TensorProto.INT8
    ]
    assert weights
    assert all(2 * 255 * int(np.abs(one.astype(int)).max()) < 2**15 for one in weights)


def test_what_cannot_be_exported_is_named(small: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        export_sentence_encoder(small, exported, name="again")
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        export_sentence_encoder(tmp_path / "nowhere", tmp_path / "out", name="x")
    other = tmp_path / "other"
    config = DistilBertConfig(vocab_size=16, dim=32, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(other)
    with pytest.raises(ModelNotFoundError, match=r"no tokenizer\.json"):
        export_sentence_encoder(other, tmp_path / "out", name="x")
    (other / "tokenizer.json").write_bytes((small / "tokenizer.json").read_bytes())
    with pytest.raises(ConfigError, match="'distilbert', and only 'bert'"):
        export_sentence_encoder(other, tmp_path / "out", name="x")
    assert not (tmp_path / "out").exists()


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    options = "--model", tmp_path, "--name", "x", "--out", tmp_path / "out"
    ran = Cli(tmp_path).run("train", "encoder", *options)
    assert ran.exit_code != 0
    assert "tokenizer.json" in ran.output
