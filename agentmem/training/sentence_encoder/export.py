"""Exports a pretrained sentence encoder as the default embedder of a bundle.

The token embeddings take 4 bits a weight, in groups of 64 that share a scale. The matrices of the
layers take 7 bits of 8, one scale for each of their columns: the sum of two products with 8-bit
activations then fits into 16 bits, so processors that add them in pairs, as those with AVX2 and
without VNNI do, make the same embeddings as others. In a wheel, which is compressed, the eighth bit
takes no space. Search hardly gets worse by any of this (benchmarks/LOG.md).
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from agentmem.errors import ConfigError, ModelNotFoundError
from agentmem.models.embedder.sentence_encoder import (
    CONFIG,
    GRAPH,
    TOKENIZER,
    SentenceEncoderConfig,
)
from agentmem.models.huggingface import load_encoder, local_folder
from agentmem.training.sentence_encoder.network import SentenceNetwork, check_bert, max_difference

# Tokens that count, as sentence-transformers cuts texts for all-MiniLM-L6-v2.
MAX_TOKENS = 256
_GROUP = 64
_OPSET = 21
# What float32 rounding may change.
_TOLERANCE = 1e-4


def export_sentence_encoder(model: str | Path, out: str | Path, *, name: str) -> Path:
    """Export a sentence encoder; nothing is downloaded.

    Args:
        model: Folder of a BERT-like encoder whose states are averaged, such as
            all-MiniLM-L6-v2's, or its name if it has been downloaded before.
        out: The new folder.
        name: What the encoder is called.

    Returns:
        The folder.

    Raises:
        ModelNotFoundError: there is no such model, or it has no tokenizer.json.
        ConfigError: it is of another architecture, or ``out`` exists already.
    """
    out = Path(out)
    if out.exists():
        raise ConfigError(f"{str(out)!r} exists already: remove it, or name another folder")
    try:
        folder = Path(local_folder(model))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"no model {str(model)!r} on this machine ({error})") from error
    if not (folder / TOKENIZER).is_file():
        raise ModelNotFoundError(f"no {TOKENIZER} in {str(folder)!r}")
    bert = load_encoder(folder)
    if reason := check_bert(bert.config):
        raise ConfigError(f"{str(model)!r} cannot be exported: {reason}")
    limit = min(MAX_TOKENS, int(bert.config.max_position_embeddings))
    network = SentenceNetwork(bert).eval()
    sample = torch.arange(16)[None] % int(bert.config.vocab_size)
    if (difference := max_difference(network, sample)) > _TOLERANCE:
        raise ConfigError(f"{str(model)!r} cannot be exported: off by {difference:.2g}")
    positions = bert.embeddings.position_embeddings.weight
    bert.embeddings.position_embeddings.weight = torch.nn.Parameter(positions[:limit].detach())
    config = SentenceEncoderConfig(name=name, dims=int(bert.config.hidden_size), max_tokens=limit)
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        _write_graph(network, sample, limit, Path(scratch))
        out.mkdir(parents=True)
        shutil.copyfile(Path(scratch) / GRAPH, out / GRAPH)
    shutil.copyfile(folder / TOKENIZER, out / TOKENIZER)
    text = config.model_dump_json(indent=2) + "\n"
    (out / CONFIG).write_text(text, encoding="utf-8", newline="\n")
    return out


def _write_graph(network: SentenceNetwork, sample: torch.Tensor, limit: int, folder: Path) -> None:
    tokens = torch.export.Dim("tokens", min=2, max=limit)
    program = torch.onnx.export(
        network,
        (sample,),
        input_names=["ids"],
        output_names=["embedding_out"],
        dynamic_shapes=({1: tokens},),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(folder / "float32.onnx"))
    config = DefaultWeightOnlyQuantConfig(
        block_size=_GROUP, is_symmetric=True, bits=4, op_types_to_quantize=("Gather",)
    )
    quantizer = MatMulNBitsQuantizer(onnx.load(folder / "float32.onnx"), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(folder / "tables.onnx"), False)
    quantize_dynamic(
        folder / "tables.onnx",
        folder / GRAPH,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        # Of the tensors whose type the tables' quantization leaves open: float32.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    _drop_traces(folder / GRAPH)


def _drop_traces(file: Path) -> None:
    """Drop which lines of which files made the nodes: the same weights give the same bytes."""
    model = onnx.load(file)
    graph = model.graph
    values = *graph.input, *graph.output, *graph.value_info, *graph.initializer
    for one in (model, graph, *graph.node, *values):
        one.ClearField("doc_string")
        one.ClearField("metadata_props")
    onnx.save(model, file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter and the quantizer say of each node."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
