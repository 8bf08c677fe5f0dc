"""Places of sources in the order in which things were said."""

from __future__ import annotations

from dataclasses import dataclass

# What sources have in common that are told apart only by when they were said.
Symbol = tuple[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """A stored source, or the place of a forgotten one, in the order in which things were said.

    What has expired counts as forgotten. ``symbols`` are those of the new sources that it equals,
    ``former`` those among them that it equals only as it once was.
    """

    id: int
    created_at: int
    added_at: int
    content_hash: bytes | None
    occurrence: int
    symbols: frozenset[Symbol]
    former: frozenset[Symbol]
    forgotten: bool
    expires_at: int | None = None
