"""Fingerprints of models as stores record them.

That of a model whose embedder is not the one in its bundle's pinned files names both, as in
``00578ab7b126e035, keys of all-MiniLM-L6-v2 1f0a7c2b9d3e4f56``: the fingerprint of the latents,
then the embedder's name and fingerprint.
"""

from __future__ import annotations

from typing import NamedTuple

_KEYS_OF = ", keys of "


class OwnEmbedder(NamedTuple):
    """The parts of such a fingerprint."""

    latents: str
    name: str
    fingerprint: str


def with_own_embedder(latents: str, name: str, fingerprint: str) -> str:
    """The fingerprint of latents with an embedder of one's own."""
    return f"{latents}{_KEYS_OF}{name} {fingerprint}"


def split_own_embedder(model: str) -> OwnEmbedder | None:
    """The parts of a model's fingerprint; None if its embedder is that of the pinned files."""
    latents, found, embedder = model.partition(_KEYS_OF)
    name, _, fingerprint = embedder.rpartition(" ")
    return OwnEmbedder(latents, name, fingerprint) if found else None
