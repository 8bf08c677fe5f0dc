"""Manifests: which files a model bundle consists of, their hashes, and its fingerprint.

A bundle is a folder: ``manifest.json``, ``tokenizer/``, ``autoencoder/``, ``keys/`` (the embedder;
the name is part of every fingerprint), optionally ``embedder/`` (a sentence encoder, which then is
the default embedder, and the one in ``keys/`` the tiny one), ``reranker/`` and ``reader/``, and a
model card in ``README.md``. The manifest lists every weight file with its SHA-256; fingerprints are
hashes of those lines, so they change exactly when a stored byte could. The fingerprint of the
latents leaves the embedders out; whatever reads latents is bound to that one.

A reader and a reranker do not affect what is stored: their files are in no fingerprint. The files
of optional parts are listed separately. All files are verified: weights when they are loaded, which
most commands never do, and the small ones when the bundle is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.base import BUILTIN
from agentmem.models.fingerprints import with_own_embedder

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"
# Folders of the optional parts.
EMBEDDER, READER, RERANKER = "embedder", "reader", "reranker"
_OPTIONAL = (EMBEDDER, READER, RERANKER)
_FORMAT = 1
_MOST_BYTES = 2**22
# The files that stored bytes depend on; the model card and training notes may change freely.
_PINNED = (".safetensors", "config.json", "tokenizer.json")
# What is large: hashing it takes longer than what most commands do.
_WEIGHTS = (".safetensors", ".onnx")
_REQUIRED = (
    "tokenizer/tokenizer.json",
    "autoencoder/config.json",
    "autoencoder/model.safetensors",
    "keys/config.json",
    "keys/model.safetensors",
)


class Manifest(BaseModel):
    """The contents of ``manifest.json``.

    Attributes:
        name: The bundle's display name.
        format: Version of the bundle's layout.
        files: Hash of each pinned file, by its path.
        embedder: Hash of each file of the sentence encoder, by its path; empty if there is none.
        reader: Hash of each file of the reader, by its path; empty if there is no reader.
        reranker: Hash of each file of the reranker, likewise.
    """

    # Unknown fields are ignored: the format number says whether a manifest can be read.
    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    format: int
    files: dict[str, str]
    embedder: dict[str, str] = Field(default_factory=dict)
    reader: dict[str, str] = Field(default_factory=dict)
    reranker: dict[str, str] = Field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Stands for the files that a store of the default embedder depends on."""
        if not self.embedder:
            return self.tiny_fingerprint
        return with_own_embedder(self.latents_fingerprint, BUILTIN, self.encoder_fingerprint)

    @property
    def tiny_fingerprint(self) -> str:
        """Sixteen hex digits that stand for the pinned files, the tiny embedder among them."""
        return self._hash(self.files)

    @property
    def encoder_fingerprint(self) -> str:
        """Sixteen hex digits that stand for the sentence encoder."""
        return self._hash(self.embedder)

    @property
    def all_files(self) -> dict[str, str]:
        """Every file with its hash: the pinned ones, then those of the optional parts."""
        return {**self.files, **self.embedder, **self.reranker, **self.reader}

    @property
    def latents_fingerprint(self) -> str:
        """Sixteen hex digits that stand for the files that latents depend on."""
        return self._hash(name for name in self.files if not name.startswith("keys/"))

    def _hash(self, names: Iterable[str]) -> str:
        lines = "".join(f"{name} {self.all_files[name]}\n" for name in sorted(names))
        return hashlib.sha256(f"{self.format}\n{lines}".encode()).hexdigest()[:16]


def shipped_bundle() -> Path:
    """The folder of the bundle that comes with the package."""
    return Path(__file__).parents[2] / "weights"


def write_manifest(folder: str | Path, name: str) -> Manifest:
    """Hash the files of a bundle folder's parts and write its manifest."""
    folder = Path(folder)
    files: dict[str, str] = {}
    optional: dict[str, dict[str, str]] = {part: {} for part in _OPTIONAL}
    for path in sorted(folder.glob("*/**/*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] in optional:
            optional[relative.parts[0]][relative.as_posix()] = _digest(path)
        elif path.is_file() and path.name.endswith(_PINNED):
            files[relative.as_posix()] = _digest(path)
    manifest = Manifest(name=name, format=_FORMAT, files=dict(sorted(files.items())), **optional)
    absent = {part for part in _OPTIONAL if not optional[part]}
    text = json.dumps(manifest.model_dump(exclude=absent), indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest and verify every pinned file, but not the optional parts.

    Raises:
        ModelNotFoundError: there is no bundle there, or a file is missing.
        ModelError: the manifest has another format, or a file does not match its hash.
    """
    folder = Path(folder)
    manifest = open_manifest(folder)
    check_files(folder, manifest)
    return manifest


def check_files(folder: str | Path, manifest: Manifest, *, weights: bool = True) -> None:
    """Verify every pinned file of a bundle.

    Args:
        folder: The bundle's folder.
        manifest: Its manifest.
        weights: Whether to verify weights too; if not, only that they are there.

    Raises:
        ModelNotFoundError: one is missing.
        ModelError: one does not match its hash.
    """
    for fault in _faults(Path(folder), manifest.name, manifest.files, _REQUIRED, weights=weights):
        raise fault


def check_file(folder: str | Path, manifest: Manifest, name: str) -> None:
    """Verify one pinned file of a bundle, as `check_files` does all of them."""
    if name in manifest.files:
        listed = {name: manifest.files[name]}
        for fault in _faults(Path(folder), manifest.name, listed):
            raise fault


def open_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest without verifying its files.

    Raises:
        ModelNotFoundError: there is no bundle there.
        ModelError: the manifest is invalid, or has another format.
    """
    folder = Path(folder)
    try:
        manifest = Manifest.model_validate_json(_content(folder / MANIFEST))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(
            f"no model bundle at {str(folder)!r}: it has no {MANIFEST}"
        ) from error
    except ValidationError as error:
        raise ModelError(f"{str(folder / MANIFEST)!r} is not a bundle's manifest") from error
    if manifest.format != _FORMAT:
        raise ModelError(
            f"bundle {manifest.name!r} has format {manifest.format!r}, this agentmem reads "
            f"{_FORMAT}: upgrade agentmem, or use the bundle that comes with it"
        )
    return manifest


def file_faults(folder: str | Path, manifest: Manifest) -> Iterator[ModelError]:
    """Errors in the pinned files: missing ones first, then those that do not match their hash."""
    return _faults(Path(folder), manifest.name, manifest.files, _REQUIRED)


def optional_faults(folder: str | Path, manifest: Manifest) -> Iterator[ModelError]:
    """Errors in the files of a bundle's optional parts, as far as it has them."""
    for part in _OPTIONAL:
        yield from _part_faults(folder, manifest, part)


def _part_faults(
    folder: str | Path, manifest: Manifest, part: str, *, weights: bool = True
) -> Iterator[ModelError]:
    folder = Path(folder)
    listed: dict[str, str] = getattr(manifest, part)
    present = (path for path in (folder / part).rglob("*") if path.is_file())
    unknown = {path.relative_to(folder).as_posix() for path in present} - listed.keys()
    for name in sorted(unknown):
        yield ModelError(
            f"file {name!r} is not in the manifest of bundle {manifest.name!r}: remove it, or put "
            f"the bundle together with `agentmem train bundle --{part}`"
        )
    yield from _faults(folder, manifest.name, listed, weights=weights)


def bundled_part(folder: str | Path, part: str, *, weights: bool = True) -> Path:
    """The folder of a bundle's `EMBEDDER`, `READER` or `RERANKER`, with its files verified.

    Args:
        folder: The bundle's folder.
        part: One of the three.
        weights: Whether to verify weights too; if not, only that they are there.

    Raises:
        ModelNotFoundError: there is no bundle there, it has no such part, or a file is missing.
        ModelError: a file is damaged, or is not listed in the manifest.
    """
    folder = Path(folder)
    manifest = open_manifest(folder)
    for fault in _part_faults(folder, manifest, part, weights=weights):
        raise fault
    if not getattr(manifest, part):
        raise ModelNotFoundError(
            f"bundle {manifest.name!r} comes without a {part}: train one with "
            f"`agentmem train {part}`"
        )
    return folder / part


def _faults(
    folder: Path,
    bundle: str,
    files: Mapping[str, str],
    required: tuple[str, ...] = (),
    *,
    weights: bool = True,
) -> Iterator[ModelError]:
    missing = [
        name
        for name in dict.fromkeys((*required, *files))
        if name not in files or not (folder / name).is_file()
    ]
    for name in missing:
        yield ModelNotFoundError(f"bundle {bundle!r} lacks its file {name!r}")
    for name, digest in files.items():
        if name in missing or (name.endswith(_WEIGHTS) and not weights):
            continue
        if _digest(folder / name) != digest:
            yield ModelError(
                f"file {name!r} of bundle {bundle!r} is not the one its manifest names: "
                f"install it again"
            )


def _content(path: Path) -> bytes:
    """The bytes of a manifest, of a file of any size or kind.

    Raises:
        ModelError: it is larger than a manifest can be, or a pipe, which would never end.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise ModelError(f"{str(path)!r} is not a file")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ModelError(f"{str(path)!r} has more than {_MOST_BYTES:,} bytes, too many for one")
    return content


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
