"""What the other records are made of: scopes, kinds of sources, and the models of a store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal


class Unset(Enum):
    """The type of `UNSET`, which means "not given" where None has a meaning of its own."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


SourceKind = Literal["message", "tool_call", "tool_result", "document"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory it is. ``None`` means "unspecified" on writing and "any" on reading."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None


ANY_SCOPE: Final = Scope()


@dataclass(frozen=True, slots=True)
class ModelBinding:
    """The models that a store is bound to.

    Attributes:
        model: Fingerprint of all that stored bytes depend on: of what latents depend on, and of the
            embedder.
        embedding_dims: K.
        latents: Fingerprint of what latents depend on alone; None of an older store that has not
            been opened since this is written down.
    """

    model: str
    embedding_dims: int
    latents: str | None = None
