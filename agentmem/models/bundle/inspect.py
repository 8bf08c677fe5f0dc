"""What a model bundle is made of, and whether it still does what it promises.

Describing a bundle reads its small files and the headers of its weights; no network is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from agentmem.errors import AgentMemError, ModelError
from agentmem.models.base import Latent, MemoryModel
from agentmem.models.bundle.manifest import (
    READER,
    RERANKER,
    Manifest,
    beside_faults,
    file_faults,
    open_manifest,
    read_manifest,
    shipped_bundle,
)

# What breaks text memories elsewhere: other scripts, joined emoji, accents in two forms, control
# characters, the names of special tokens, and what has no pattern at all.
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
# What the reranker looks up: made from the autoencoder, not learned.
_TABLES = frozenset({"tokens"})


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file of the manifest: its place in the bundle, its bytes, and the SHA-256 of them."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What a bundle is.

    Attributes:
        name: What people call it.
        fingerprint: Stands for the pinned files.
        format: Version of the bundle's layout.
        files: The pinned files, then those of the reranker and of the reader.
        parameters: Number of weights by network; tied weights count once.
        densities: Quantisation step of each density in int8 steps, the finest first.
        slot_dims: Dims of the tape per token.
        tokens_per_vector: Tokens that share one memory vector.
        max_tokens: Longest chunk.
        key_dims: K.
        vocab_size: V.
        runs: Name of the training run by network; empty if the bundle keeps no record.
        evaluation: Figures by result name; empty if the bundle has none.
    """

    name: str
    fingerprint: str
    format: int
    files: tuple[BundleFile, ...]
    parameters: Mapping[str, int]
    densities: Mapping[str, float]
    slot_dims: int
    tokens_per_vector: int
    max_tokens: int
    key_dims: int
    vocab_size: int
    runs: Mapping[str, str]
    evaluation: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BundleCheck:
    """What a check of a bundle found.

    Attributes:
        name: The bundle's.
        fingerprint: The one that its manifest stands for.
        files: How many files were compared with their hashes.
        samples: How many texts went to vectors and back, each at every density.
        faults: What is wrong, one sentence each; empty if nothing is.
    """

    name: str
    fingerprint: str
    files: int
    samples: int
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values."""
        return {"ok": self.ok, **asdict(self)}


def describe_bundle(folder: str | Path | None = None) -> BundleFacts:
    """What a bundle is, its files compared with their hashes.

    Args:
        folder: The bundle's folder; None means the one that comes with the package.

    Raises:
        ModelNotFoundError: there is no bundle there, or a file of it is missing.
        ModelError: a file is damaged, or lacks what this version of agentmem looks for.
    """
    folder = shipped_bundle() if folder is None else Path(folder)
    manifest = read_manifest(folder)
    for fault in beside_faults(folder, manifest):
        raise fault
    training = _optional(folder / "training.json")
    try:
        autoencoder = json.loads((folder / "autoencoder" / "config.json").read_text("utf-8"))
        keys = json.loads((folder / "keys" / "config.json").read_text("utf-8"))
        return BundleFacts(
            name=manifest.name,
            fingerprint=manifest.fingerprint,
            format=manifest.format,
            files=tuple(
                BundleFile(name, (folder / name).stat().st_size, digest)
                for name, digest in manifest.all_files.items()
            ),
            parameters=_parameters(folder, manifest),
            densities=dict(sorted(autoencoder["densities"].items(), key=itemgetter(1))),
            slot_dims=autoencoder["slot_dims"],
            tokens_per_vector=autoencoder["tokens_per_vector"],
            max_tokens=autoencoder["max_tokens"],
            key_dims=keys["key_dims"],
            vocab_size=autoencoder["vocab_size"],
            runs={part: run["name"] for part, run in training.items()},
            evaluation=_optional(folder / "evaluation.json"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"bundle {manifest.name!r} is not one of this version of agentmem: {error!r}"
        ) from error


def check_bundle(folder: str | Path | None = None) -> BundleCheck:
    """Compare a bundle's files with their hashes, and send texts to vectors and back.

    Networks are loaded only if every file is the one that the manifest names.

    Args:
        folder: The bundle's folder; None means the one that comes with the package.

    Raises:
        ModelNotFoundError: there is no bundle there.
        ModelError: its manifest is none, or of another format.
    """
    folder = shipped_bundle() if folder is None else Path(folder)
    manifest = open_manifest(folder)
    faults = [
        str(fault) for check in (file_faults, beside_faults) for fault in check(folder, manifest)
    ]
    samples = 0
    if not faults:
        from agentmem.models.bundle.load import ModelBundle  # loads torch

        try:
            model = ModelBundle(folder)
        except AgentMemError as error:
            faults = [str(error)]
        else:
            samples = len(SAMPLES)
            faults = [
                f"sample {number} does not come back at density {density!r}"
                for density in model.densities
                for number, text in enumerate(SAMPLES, start=1)
                if not _comes_back(text, model, density)
            ]
    files = len(manifest.all_files)
    return BundleCheck(manifest.name, manifest.fingerprint, files, samples, tuple(faults))


def _comes_back(text: str, model: MemoryModel, density: str) -> bool:
    """Whether a text is the same after its tokens were encoded, packed, unpacked and decoded."""
    ids = model.tokenizer.encode(text)
    chunks = [ids[at : at + model.max_tokens] for at in range(0, len(ids), model.max_tokens)]
    encoded = model.encode(chunks, density=density)
    latents = [
        Latent(one.packed, len(chunk), one.patch)
        for one, chunk in zip(encoded, chunks, strict=True)
    ]
    unpacked = all(
        np.array_equal(model.unpack(latent.packed, latent.tokens), one.latents)
        for latent, one in zip(latents, encoded, strict=True)
    )
    try:
        back = [id for chunk in model.regenerate(latents) for id in chunk]
    except ValueError:
        return False
    return unpacked and model.tokenizer.decode(back) == text


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
            names = set(weights.keys()) - _TABLES
            return sum(prod(weights.get_slice(name).get_shape()) for name in names)
    except SafetensorError as error:
        raise ModelError(f"{file.name!r} in {file.parent.name!r} holds no weights") from error


def _optional(file: Path) -> dict[str, Any]:
    """A JSON object that a bundle may do without."""
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ModelError(f"{str(file)!r} holds no JSON object")
    return found
