"""Finds a model bundle by its fingerprint, so that stores of older releases stay readable.

A bundle is looked for in the package itself, then in the folders that the environment variable
``AGENTMEM_BUNDLES`` names (separated as in ``PATH``), then in ``~/.agentmem/bundles``. Each of
these is a bundle, or contains bundles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agentmem.errors import ModelError
from agentmem.models.bundle.manifest import MANIFEST, Manifest, open_manifest, shipped_bundle
from agentmem.models.fingerprints import split_own_embedder

VARIABLE = "AGENTMEM_BUNDLES"
USER_FOLDER = "~/.agentmem/bundles"
# What the latents of bundles depend on that were released before stores said it themselves.
_LATENTS = {"582cfb576f8367dd": "00578ab7b126e035"}


def find_bundle(model: str) -> Path | None:
    """The folder of the bundle that a store is bound to; None if it is not on this machine.

    Its files are not compared with their hashes; whoever loads it does that.

    Args:
        model: The fingerprint in the store; with an embedder of one's own, that of the latents
            comes first in it.
    """
    own = split_own_embedder(model)
    for folder, manifest in _bundles():
        if own is None and manifest.tiny_fingerprint == model:
            return folder
        if own is not None and manifest.latents_fingerprint == own.latents:
            return folder
    return None


def latents_of(model: str) -> str | None:
    """The fingerprint of the latents of a store, from what it is bound to; None if unknown."""
    if (own := split_own_embedder(model)) is not None:
        return own.latents
    if (known := _LATENTS.get(model)) is not None:
        return known
    folder = find_bundle(model)
    return None if folder is None else open_manifest(folder).latents_fingerprint


def _bundles() -> Iterator[tuple[Path, Manifest]]:
    folders = [one for one in os.environ.get(VARIABLE, "").split(os.pathsep) if one]
    for place in (shipped_bundle(), *map(Path, folders), Path(USER_FOLDER).expanduser()):
        for file in (place / MANIFEST, *sorted(place.glob(f"*/{MANIFEST}"))):
            # One that is damaged must not hide the others.
            with suppress(ModelError, OSError):
                yield file.parent, open_manifest(file.parent)
