"""Where model bundles lie, and what their manifest says.

A bundle is a folder: ``manifest.json``, ``tokenizer/``, ``autoencoder/``, ``keys/``, perhaps a
``reranker/`` and a ``reader/``, and a model card in ``README.md``. The manifest names every weight
file with its SHA-256; the fingerprint is the hash of those lines, so it changes exactly when a
stored byte could. The fingerprint of the latents leaves the keys out: whoever reads memories asks
for that one.

A reader and a reranker change nothing that is stored: their files stand in the manifest by
themselves, outside the fingerprint, and are compared with it when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agentmem.errors import ModelError, ModelNotFoundError

MANIFEST = "manifest.json"
# The folders of a bundle's parts that change nothing that is stored.
READER, RERANKER = "reader", "reranker"
_BESIDE = (READER, RERANKER)
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
    """What a bundle is.

    Attributes:
        name: What people call it.
        format: Version of the bundle's layout.
        files: Hash of each pinned file, by its path.
        reader: Hash of each file of the reader, by its path; empty if there is no reader.
        reranker: Likewise.
    """

    name: str
    format: int
    files: dict[str, str]
    reader: dict[str, str] = field(default_factory=dict)
    reranker: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that stand for the pinned files."""
        return self._hash(self.files)

    @property
    def all_files(self) -> dict[str, str]:
        """Every file with its hash: the pinned ones, then those of the other parts."""
        return {**self.files, **self.reranker, **self.reader}

    @property
    def latents_fingerprint(self) -> str:
        """Sixteen hex digits that stand for the files that latents depend on: not for the keys'."""
        return self._hash(name for name in self.files if not name.startswith("keys/"))

    def _hash(self, names: Iterable[str]) -> str:
        lines = "".join(f"{name} {self.files[name]}\n" for name in sorted(names))
        return hashlib.sha256(f"{self.format}\n{lines}".encode()).hexdigest()[:16]


def shipped_bundle() -> Path:
    """The folder of the bundle that comes with the package."""
    return Path(__file__).parents[2] / "weights"


def write_manifest(folder: str | Path, name: str) -> Manifest:
    """Hash the files of a bundle folder's parts and write its manifest."""
    folder = Path(folder)
    files: dict[str, str] = {}
    beside: dict[str, dict[str, str]] = {part: {} for part in _BESIDE}
    for path in sorted(folder.glob("*/**/*")):
        place = path.relative_to(folder)
        if path.is_file() and place.parts[0] in beside:
            beside[place.parts[0]][place.as_posix()] = _digest(path)
        elif path.is_file() and path.name.endswith(_PINNED):
            files[place.as_posix()] = _digest(path)
    manifest = Manifest(name, _FORMAT, dict(sorted(files.items())), **beside)
    told = {name: said for name, said in asdict(manifest).items() if said or name not in _BESIDE}
    text = json.dumps(told, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest and check every pinned file against it, and no other.

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
        manifest = Manifest(
            raw["name"],
            raw["format"],
            dict(raw["files"]),
            **{part: dict(raw.get(part, {})) for part in _BESIDE},
        )
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
    """What is wrong with the pinned files: first what is missing, then what is another file."""
    return _faults(Path(folder), manifest.name, manifest.files, _NEEDED)


def beside_faults(folder: str | Path, manifest: Manifest) -> Iterator[ModelError]:
    """What is wrong with the files of a bundle's reader and reranker, if it has them."""
    for part in _BESIDE:
        yield from _part_faults(folder, manifest, part)


def _part_faults(folder: str | Path, manifest: Manifest, part: str) -> Iterator[ModelError]:
    folder = Path(folder)
    told: dict[str, str] = getattr(manifest, part)
    there = (path for path in (folder / part).rglob("*") if path.is_file())
    unknown = {path.relative_to(folder).as_posix() for path in there} - told.keys()
    for name in sorted(unknown):
        yield ModelError(
            f"file {name!r} is not in the manifest of bundle {manifest.name!r}: remove it, or put "
            f"the bundle together with `agentmem train bundle --{part}`"
        )
    yield from _faults(folder, manifest.name, told)


def bundled_part(folder: str | Path, part: str) -> Path:
    """The folder of a bundle's `READER` or `RERANKER`, every file compared with the manifest.

    Raises:
        ModelNotFoundError: there is no bundle there, it has no such part, or a file is missing.
        ModelError: a file is damaged, or is not one of the bundle's.
    """
    folder = Path(folder)
    manifest = open_manifest(folder)
    for fault in _part_faults(folder, manifest, part):
        raise fault
    if not getattr(manifest, part):
        raise ModelNotFoundError(
            f"bundle {manifest.name!r} comes without a {part}: train one with "
            f"`agentmem train {part}`"
        )
    return folder / part


def _faults(
    folder: Path, bundle: str, files: Mapping[str, str], needed: tuple[str, ...] = ()
) -> Iterator[ModelError]:
    lacking = [
        name
        for name in dict.fromkeys((*needed, *files))
        if name not in files or not (folder / name).is_file()
    ]
    for name in lacking:
        yield ModelNotFoundError(f"bundle {bundle!r} lacks its file {name!r}")
    for name, digest in files.items():
        if name not in lacking and _digest(folder / name) != digest:
            yield ModelError(
                f"file {name!r} of bundle {bundle!r} is not the one its manifest names: "
                f"install it again"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
