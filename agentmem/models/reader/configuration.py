"""The shape of a reader: how memory enters a language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentmem.errors import ModelError, ModelNotFoundError

CONFIG = "reader.json"

Count = Annotated[int, Field(gt=0)]
Route = Literal["slots", "positions"]
AdapterKind = Literal["codes", "states", "linear"]


class ReaderConfig(BaseModel):
    """Sizes and route of a `MemoryReader`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: Route = Field(
        default="slots",
        description="slots: some layers attend to the slots of the memories, which take no "
        "position; positions: memory vectors stand before the tokens, as input embeddings",
    )
    adapter: AdapterKind = Field(
        default="codes",
        description="what a slot becomes: the LM's own embedding of the token that its code "
        "stands for; the frozen decoder's state; or its bare dims",
    )
    tokens_per_position: Count = Field(default=16, description="of the route positions")
    layers: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, description="of the route slots: LM layers that attend after themselves"
    )
    heads: Count = Field(default=8, description="of each such layer")
    width: Count = Field(default=112, description="dims of a slot's value, and of its key")
    rope_dims: Count = Field(default=16, description="dims of the key that tell its place")
    span: Count = Field(default=4, description="tokens before a slot that its key tells of")
    around: Count = Field(
        default=16, description="slots on either side whose mean content a key tells of"
    )
    max_memories: Count = Field(default=64, description="most memories in one reading")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rope_dims % 2 or self.rope_dims >= self.width:
            raise ValueError(
                f"rope_dims={self.rope_dims!r} must be even and below width={self.width!r}"
            )
        if self.layers is not None and not 0 < len(self.layers) == len(set(self.layers)):
            raise ValueError(f"layers={self.layers!r} must name at least one layer, none twice")
        return self


class Origin(BaseModel):
    """What a saved reader was trained on, and fits alone.

    Attributes:
        bundle: Name of the model bundle.
        fingerprint: That of its latents.
        lm: Name or folder of the language model; None: it lies beside the adapter.
        lm_hash: `lm_fingerprint` of its weights.
        hidden_size: H.
        vocab_size: Rows of its token embedding.
        tokenizer_hash: `OwnWords.fingerprint` of its tokenizer; None: it speaks the bundle's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    fingerprint: str
    lm: str | None
    lm_hash: str
    hidden_size: int
    vocab_size: int
    tokenizer_hash: str | None = None


class SavedReader(BaseModel):
    """What ``reader.json`` says."""

    # Notes of other versions do no harm: what may not be misread raises the format.
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    config: ReaderConfig
    origin: Origin
    lora: bool = Field(default=False, description="LoRA weights lie beside")

    def write(self, folder: Path) -> None:
        """Write ``reader.json``."""
        text = json.dumps(self.model_dump(), indent=2) + "\n"
        (folder / CONFIG).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``reader.json``.

        Raises:
            ModelNotFoundError: there is none.
            ModelError: it says something else.
        """
        try:
            return cls.model_validate_json((folder / CONFIG).read_bytes())
        except OSError as error:
            raise ModelNotFoundError(
                f"no reader in {str(folder)!r}: it has no {CONFIG}; `agentmem train reader` "
                f"makes one"
            ) from error
        except ValidationError as error:
            raise ModelError(f"{str(folder / CONFIG)!r} is not a reader's: {error}") from error
