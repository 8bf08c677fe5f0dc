"""Describes a model bundle, and checks that its files are intact and its texts round-trip.

Describing a bundle reads its small files and the headers of its weights; no network is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from agentmem.errors import AgentMemError, ModelError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.base import Codec, Latent
from agentmem.models.bundle.manifest import (
    EMBEDDER,
    READER,
    RERANKER,
    Manifest,
    file_faults,
    open_manifest,
    optional_faults,
    read_manifest,
    shipped_bundle,
)
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.sentence_encoder import SentenceEncoderConfig

# Texts that commonly break round trips: other scripts, joined emoji, accents in two forms, control
# characters, the names of special tokens, and text without any pattern.
SAMPLES = (
    "Booked the 9:40 train to Lyon, platform 12; Ana comes too.",
    "def area(r: float) -> float:\n\treturn 3.14159 * r**2  # m²\r\n",
    '{"id": "7f3a9c1e-04d2-4b6f-9e57-c0ffee12ab34", "ok": true, "sum": -1027.50}',
    "https://example.org/a?q=%C3%A9&page=2#top | 2026-02-13T09:40:00+01:00",
    "QmFzZTY0IGlzIG5vdCBlbmNyeXB0aW9uLg== deadbeef00c0ffee 0x7fffffff",
    "列车九点四十分开往里昂。 Поезд в Лион отходит в 9:40. القطار إلى ليون. ट्रेन ल्यों जाती है।",
    "👩‍🚀🏳️‍🌈 e\u0301 and \u00e9, \u200b\ufeff, \x00\x1b[0m, <|pad|><|memory|>",
    " \n\n\t ",
    "zq" * 300,
)
# Buffers that are derived from the autoencoder rather than learned.
_TABLES = frozenset({"tokens"})


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file of the manifest: its path in the bundle, its size in bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """The facts about a bundle.

    Attributes:
        name: Display name.
        fingerprint: What a store of the default embedder is bound to.
        format: Version of the bundle's layout.
        files: The pinned files, then those of the optional parts.
        parameters: Number of weights by network; tied weights count once.
        quantizations: Step of each quantization in int8 steps, finest first.
        slot_dims: Numbers per token.
        tokens_per_vector: Tokens that share one memory vector.
        max_tokens: Longest chunk.
        embedding_dims: K, of the default embedder.
        vocab_size: V.
        runs: Name of the training run by network; empty if the bundle keeps no record.
        evaluation: Metrics by result name; empty if the bundle has none.
    """

    name: str
    fingerprint: str
    format: int
    files: tuple[BundleFile, ...]
    parameters: Mapping[str, int]
    quantizations: Mapping[str, float]
    slot_dims: int
    tokens_per_vector: int
    max_tokens: int
    embedding_dims: int
    vocab_size: int
    runs: Mapping[str, str]
    evaluation: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BundleCheck:
    """The result of checking a bundle.

    Attributes:
        name: The bundle's.
        fingerprint: The fingerprint of its manifest.
        files: Number of files compared with their hashes.
        samples: Number of texts encoded and decoded, each with every quantization.
        faults: One sentence for each fault found.
    """

    name: str
    fingerprint: str
    files: int
    samples: int
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values."""
        return {"ok": self.ok, **asdict(self)}


def describe_bundle(folder: str | Path | None = None) -> BundleFacts:
    """Describe a bundle, after comparing its files with their hashes.

    Args:
        folder: The bundle's folder; None means the one that comes with the package.

    Raises:
        ModelNotFoundError: there is no bundle there, or a file of it is missing.
        ModelError: a file is damaged, or the bundle does not fit this version of agentmem.
    """
    folder = shipped_bundle() if folder is None else Path(folder)
    manifest = read_manifest(folder)
    for fault in optional_faults(folder, manifest):
        raise fault
    training = _optional(folder / "training.json")
    try:
        autoencoder = AutoencoderConfig.from_pretrained(folder / "autoencoder")
        tiny = EmbedderConfig.from_pretrained(folder / "keys")
        return BundleFacts(
            name=manifest.name,
            fingerprint=manifest.fingerprint,
            format=manifest.format,
            files=tuple(
                BundleFile(name, (folder / name).stat().st_size, digest)
                for name, digest in manifest.all_files.items()
            ),
            parameters=_parameters(folder, manifest),
            quantizations=autoencoder.quantizations,
            slot_dims=autoencoder.slot_dims,
            tokens_per_vector=autoencoder.tokens_per_vector,
            max_tokens=autoencoder.max_tokens,
            embedding_dims=_dims(folder, manifest, tiny),
            vocab_size=autoencoder.vocab_size,
            runs={part: run["name"] for part, run in training.items()},
            evaluation=_optional(folder / "evaluation.json"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"bundle {manifest.name!r} is not one of this version of agentmem: {error!r}"
        ) from error


def check_bundle(folder: str | Path | None = None) -> BundleCheck:
    """Compare a bundle's files with their hashes, and encode and decode sample texts.

    Networks are loaded only if every file matches its hash.

    Args:
        folder: The bundle's folder; None means the one that comes with the package.

    Raises:
        ModelNotFoundError: there is no bundle there.
        ModelError: its manifest is invalid, or has another format.
    """
    folder = shipped_bundle() if folder is None else Path(folder)
    manifest = open_manifest(folder)
    faults = [
        str(fault) for check in (file_faults, optional_faults) for fault in check(folder, manifest)
    ]
    samples = 0
    if not faults:
        from agentmem.models.bundle.load import ModelBundle  # loads torch

        try:
            ModelBundle(folder, tiny=True).load()
            model = ModelBundle(folder).load()
        except AgentMemError as error:
            faults = [str(error)]
        else:
            samples = len(SAMPLES)
            faults = [
                f"sample {number} does not round-trip with quantization {quantization!r}"
                for quantization in model.codec.quantizations
                for number, text in enumerate(SAMPLES, start=1)
                if not _round_trips(text, model.codec, quantization)
            ]
    files = len(manifest.all_files)
    return BundleCheck(manifest.name, manifest.fingerprint, files, samples, tuple(faults))


def _round_trips(text: str, codec: Codec, quantization: str) -> bool:
    """Whether a text is unchanged after its tokens were encoded, packed, unpacked and decoded."""
    ids = codec.tokenizer.encode(text)
    chunks = [ids[at : at + codec.max_tokens] for at in range(0, len(ids), codec.max_tokens)]
    encoded = codec.encode(chunks, quantization=quantization)
    latents = [
        Latent(one.packed, len(chunk), one.patch)
        for one, chunk in zip(encoded, chunks, strict=True)
    ]
    unpacked = all(
        np.array_equal(codec.unpack(latent.packed, latent.tokens), one.latents)
        for latent, one in zip(latents, encoded, strict=True)
    )
    try:
        decoded = [id for chunk in codec.regenerate(latents) for id in chunk]
    except ValueError:
        return False
    return unpacked and codec.tokenizer.decode(decoded) == text


def _dims(folder: Path, manifest: Manifest, tiny: EmbedderConfig) -> int:
    if manifest.embedder:
        return SentenceEncoderConfig.from_folder(folder / EMBEDDER).dims
    return tiny.embedding_dims


def _parameters(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Number of weights of each network, from the headers of its files."""
    counts = {
        part: _weights(folder / part / "model.safetensors") for part in ("autoencoder", "keys")
    }
    for part, files in ((RERANKER, manifest.reranker), (READER, manifest.reader)):
        if files:
            weights = (name for name in files if name.endswith(".safetensors"))
            counts[part] = sum(_weights(folder / name) for name in weights)
    return counts


def _weights(file: Path) -> int:
    """Number of weights in a safetensors file, from its header."""
    try:
        with safe_open(file, framework="numpy") as weights:
            # A matrix in int8 has its scales beside it.
            names = {n for n in set(weights.keys()) - _TABLES if not n.endswith(".scale")}
            return sum(prod(weights.get_slice(name).get_shape()) for name in names)
    except SafetensorError as error:
        raise ModelError(f"{file.name!r} in {file.parent.name!r} contains no weights") from error


def _optional(file: Path) -> dict[str, Any]:
    """A JSON object from an optional file."""
    if not file.is_file():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ModelError(f"{str(file)!r} contains no JSON object")
    return content
