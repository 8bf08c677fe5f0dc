"""Sizes of a network as its config.json stores them, in the layout of Hugging Face.

Reading them needs neither torch nor transformers, so a store learns the width of its embeddings
before any network is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.plain import require_size

FILE = "config.json"


@dataclass(frozen=True)
class NetworkConfig:
    """Base of the configurations: a frozen dataclass that can be written to a folder.

    Attributes:
        model_type: What config.json calls this kind of network.
        former_names: Names of fields by what older files call them. Those of a bundle stay as they
            are, because its fingerprint is a hash of them.
    """

    model_type: ClassVar[str]
    former_names: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read ``config.json`` from a folder.

        Names that this version does not know are ignored: they belong to the library that wrote
        the file, and what they may change in the weights is refused when these are loaded.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelError: it is not the configuration of this kind of network, or a size in it is
                impossible, or larger than the weights beside it.
        """
        require_size(Path(folder))
        file = Path(folder) / FILE
        try:
            given = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelNotFoundError(f"no model in {str(folder)!r}: it has no {FILE}") from error
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{str(file)!r} is not JSON in UTF-8: {error}") from error
        kind = given.get("model_type") if isinstance(given, dict) else None
        if kind != cls.model_type:
            raise ModelError(
                f"{str(file)!r} configures a model of type {kind!r}, not {cls.model_type!r}"
            )
        named = {cls.former_names.get(name, name): value for name, value in given.items()}
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in named.items() if name in known})
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"{str(file)!r}: {error}") from error

    def save_pretrained(self, folder: str | Path, **more: object) -> None:
        """Write ``config.json`` into a folder, which is created if necessary.

        Args:
            folder: The network's folder.
            more: Further entries, such as the names of ``architectures``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        entries = {**asdict(self), "model_type": self.model_type, **more}
        text = json.dumps(entries, indent=2, sort_keys=True) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")


class BlockConfig(Protocol):
    """The sizes of a transformer block, as Hugging Face configurations name them."""

    @property
    def hidden_size(self) -> int:
        """H."""

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward layer."""

    @property
    def num_attention_heads(self) -> int:
        """Heads, each H / heads wide."""

    @property
    def rope_theta(self) -> float:
        """Base of the rotary positions."""


def check_positive(config: NetworkConfig, *names: str) -> None:
    """Check that sizes are whole numbers of 1 or more.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        size = getattr(config, name)
        if not isinstance(size, int):
            raise ValueError(f"{name}={size!r} must be a whole number")
        if size < 1:
            raise ValueError(f"{name}={size!r} must be positive")
