"""The checks of `doctor`: each returns its finding, and none raises."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from agentmem.errors import AgentMemError, StoreNotFoundError
from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_storage.text import without_password

Status = Literal["ok", "warn", "fail"]

# Free bytes below which a check fails or warns.
_FULL, _TIGHT = 16 * 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    status: Status
    detail: str


def checks(store: str, model: Path | None, embedder: str) -> Iterator[Check]:
    """Check the installation, the model bundle, the store and the disk, in this order."""
    from agentmem.versions import package_versions

    found = package_versions()
    yield Check("versions", "ok", ", ".join(f"{name} {found[name]}" for name in found))
    yield _torch()
    yield _sqlite()
    yield _faiss()
    bundle = _bundle(model)
    yield bundle
    if bundle.status == "ok":
        yield _store(store, model, embedder)
    else:
        yield Check("store", "warn", "not opened, because that needs the model bundle")
    if "://" not in store:
        folder = Path(store).expanduser()
        yield _index(folder / "index")
        yield _disk(folder)


def _torch() -> Check:
    # Looked for, not imported: that takes longer than all other checks together.
    needing = "the reader of `ask` and `chat`, and training"
    if find_spec("torch") is None:
        return Check("torch", "ok", f"not installed; only {needing} need it")
    return Check("torch", "ok", f"installed, for {needing}")


def _sqlite() -> Check:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(word)")
        except sqlite3.OperationalError as error:
            return Check("full-text search", "fail", f"this SQLite lacks FTS5: {error}")
    return Check("full-text search", "ok", f"FTS5 of SQLite {sqlite3.sqlite_version}")


def _faiss() -> Check:
    try:
        faiss = importlib.import_module("faiss")
    except (ImportError, OSError) as error:
        advice = "faster with: pip install 'latent-agentmem[cpu]'"
        return Check("vector index", "warn", f"numpy, because of {error}; {advice}")
    return Check("vector index", "ok", f"FAISS {faiss.__version__}")


def _bundle(model: Path | None) -> Check:
    from agentmem.models.bundle.manifest import read_manifest, shipped_bundle

    try:
        manifest = read_manifest(shipped_bundle() if model is None else model)
    except (AgentMemError, OSError) as error:
        return Check("model bundle", "fail", str(error))
    count = views.number(len(manifest.files), "file")
    return Check(
        "model bundle",
        "ok",
        f"{manifest.name} ({manifest.fingerprint}), {count} match the manifest",
    )


def _store(store: str, model: Path | None, embedder: str) -> Check:
    try:
        with open_memory(store, model, embedder=embedder) as memory:
            found = memory.stats()
    except StoreNotFoundError as error:
        return Check("store", "warn", str(error))
    except (AgentMemError, OSError) as error:
        return Check("store", "fail", str(error))
    count = views.number(found.memories, "memory", "memories")
    shown = without_password(store)
    return Check("store", "ok", f"{shown!r}: {count}, {views.size(found.file_bytes or 0)}")


def _index(folder: Path) -> Check:
    files = [file for file in folder.glob("*") if file.is_file()]
    if not files:
        return Check("index cache", "ok", "none: created at the next recall")
    held = views.size(sum(file.stat().st_size for file in files))
    return Check("index cache", "ok", f"{held} in {str(folder)!r}")


def _disk(folder: Path) -> Check:
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(existing).free
    status: Status = "fail" if free < _FULL else "warn" if free < _TIGHT else "ok"
    return Check("disk", status, f"{views.size(free)} free at {str(existing)!r}")
