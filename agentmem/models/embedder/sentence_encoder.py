"""The sentence encoder of a bundle: the default embedder, an ONNX graph with 7-bit weights.

Search embeddings need no memory vectors, so a pretrained model serves: a BERT-like encoder whose
last states are averaged and normalized, as `agentmem.training.sentence_encoder` exports it. It
takes one text at a time. The activations of its matrix products are rounded to 8 bits over the
whole input, so in a batch the embedding of a text would depend on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.onnx import OnnxSession
from agentmem_storage.interruptions import is_interruption

GRAPH, TOKENIZER, CONFIG = "model.onnx", "tokenizer.json", "config.json"
# Where the classes are of what a graph raises.
_RAISING = {"onnxruntime", "numpy", "builtins"}


class SentenceEncoderConfig(BaseModel):
    """The contents of ``config.json``.

    Attributes:
        name: What the encoder was made from.
        dims: K, dims of an embedding.
        max_tokens: Of the encoder's own tokens; what comes behind them does not count.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    dims: PositiveInt
    max_tokens: PositiveInt

    @classmethod
    def from_folder(cls, folder: Path) -> SentenceEncoderConfig:
        """Read the configuration of a sentence encoder.

        Raises:
            ModelNotFoundError: there is none.
            ModelError: it is not a valid one.
        """
        try:
            return cls.model_validate_json((folder / CONFIG).read_bytes())
        except OSError as error:
            raise ModelNotFoundError(f"no {CONFIG} in {str(folder)!r}") from error
        except ValidationError as error:
            raise ModelError(f"{str(folder / CONFIG)!r} is not of a sentence encoder") from error


class SentenceEncoder:
    """Texts to embeddings; usable from several threads."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            ModelNotFoundError: a file is missing.
            ModelError: a file is damaged, or they do not fit each other.
        """
        from agentmem.models.embedder.wordpiece import WordPieceTokenizer

        self.config = SentenceEncoderConfig.from_folder(folder)
        self._graph = OnnxSession(folder / GRAPH)
        try:
            self._tokenizer = WordPieceTokenizer(folder / TOKENIZER, self.config.max_tokens)
        except (OSError, ValueError) as error:
            raise ModelError(f"no tokenizer in {str(folder)!r}: {error}") from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings float32 (B, K), unit norm.

        Raises:
            ModelError: the graph makes something else.
        """
        made = np.empty((len(texts), self.config.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            ids = self._tokenizer.encode(text)
            try:
                (made[row],) = self._graph.run(ids=np.array([ids], dtype=np.int64))
            except Exception as error:  # ONNX Runtime's own errors have no common base but this
                # What is thrown into a thread leaves no frame, but it is of a class of its own.
                if is_interruption(error) or _package(error) not in _RAISING:
                    raise
                raise ModelError(f"the sentence encoder cannot embed a text: {error}") from error
        return made


def _package(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]
