"""Where model bundles lie, and what their manifest says.

A bundle is a folder: ``manifest.json``, ``tokenizer/``, ``autoencoder/``, ``keys/`` and a model
card in ``README.md``. The manifest names every weight file with its SHA-256; the fingerprint is
the hash of those lines, so it changes exactly when a stored byte could.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentmem.errors import ModelError, ModelNotFoundError

MANIFEST = "manifest.json"
_FORMAT = 1
# What a stored byte depends on; the model card and training notes may change freely.
_PINNED = (".safetensors", "config.json", "tokenizer.json")
_NEEDED = (
    "tokenizer/tokenizer.json",
    "autoencoder/config.json",
    "autoencoder/model.safetensors",
    "keys/config.json",
    "keys/model.safetensors",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is: its name, format, and the hash of each pinned file."""

    name: str
    format: int
    files: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that stand for the pinned files."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(f"{self.format}\n{lines}".encode()).hexdigest()[:16]


def shipped_bundle() -> Path:
    """The folder of the bundle that comes with the package."""
    return Path(__file__).with_name("weights")


def write_manifest(folder: str | Path, name: str) -> Manifest:
    """Hash the pinned files of a bundle folder and write its manifest."""
    folder = Path(folder)
    files = {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.endswith(_PINNED)
    }
    manifest = Manifest(name, _FORMAT, files)
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest and check every pinned file against it.

    Raises:
        ModelNotFoundError: there is no bundle there, or a file is missing.
        ModelError: the manifest is of another format, or a file is not the one it names.
    """
    folder = Path(folder)
    manifest = open_manifest(folder)
    for fault in file_faults(folder, manifest):
        raise fault
    return manifest


def open_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest alone; its files may be missing or damaged.

    Raises:
        ModelNotFoundError: there is no bundle there.
        ModelError: the manifest is none, or of another format.
    """
    folder = Path(folder)
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(raw["name"], raw["format"], dict(raw["files"]))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(
            f"no model bundle at {str(folder)!r}: it has no {MANIFEST}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{str(folder / MANIFEST)!r} is not a bundle's manifest") from error
    if manifest.format != _FORMAT:
        raise ModelError(
            f"bundle {manifest.name!r} has format {manifest.format!r}, this agentmem reads "
            f"{_FORMAT}: upgrade agentmem, or use the bundle that comes with it"
        )
    return manifest


def file_faults(folder: str | Path, manifest: Manifest) -> Iterator[ModelError]:
    """What is wrong with a bundle's files: first what is missing, then what is another file."""
    folder = Path(folder)
    lacking = [
        name
        for name in dict.fromkeys((*_NEEDED, *manifest.files))
        if name not in manifest.files or not (folder / name).is_file()
    ]
    for name in lacking:
        yield ModelNotFoundError(f"bundle {manifest.name!r} lacks its file {name!r}")
    for name, digest in manifest.files.items():
        if name not in lacking and _digest(folder / name) != digest:
            yield ModelError(
                f"file {name!r} of bundle {manifest.name!r} is not the one its manifest names: "
                f"install it again"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
