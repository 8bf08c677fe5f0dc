"""Keys from any sentence-transformers model that is on this machine, in place of the bundle's own.

The package is an extra and takes seconds to load: nothing of it is imported before it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentmem.errors import MissingExtraError, ModelError, ModelNotFoundError
from agentmem.models.huggingface import local_folder, quiet

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# What a key depends on, in the folder and in those of its parts (``1_Pooling``). Of each kind only
# the first that is there: how a model was fetched decides what else came along.
_PINNED = (
    ("*.safetensors", "*.bin"),
    ("tokenizer.json", "vocab.txt", "*.model"),
    ("config.json",),
    ("modules.json",),
    ("sentence_bert_config.json",),
    ("config_sentence_transformers.json",),
)
_HOW: dict[str, Any] = {
    "convert_to_numpy": True,
    "normalize_embeddings": True,
    "show_progress_bar": False,
}


class SentenceTransformerKeys:
    """A sentence-transformers model on the CPU, in float32; usable from several threads.

    Of a text that is longer than the model reads, the key says what its beginning says.

    Attributes:
        name: The last part of its name or folder.
        fingerprint: Sixteen hex digits that stand for its weights, tokenizer and settings.
        key_dims: K.
    """

    def __init__(self, place: str) -> None:
        """Load a model; nothing is fetched.

        Args:
            place: Its folder, or its name, if it was downloaded before.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelNotFoundError: there is no such model on this machine.
            ModelError: it is damaged.
        """
        self._model, folder = _load(place)
        # Its tokenizer is one of those that two threads may not use at once.
        self._turn = threading.Lock()
        self.name = os.path.basename(os.path.normpath(place))
        self.fingerprint = _fingerprint(folder)
        # Not every model says so.
        self.key_dims: int = len(self.query(""))

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Keys (B, K) of what is stored, unit norm."""
        with self._turn:
            return _plain(self._model.encode_document(list(texts), **_HOW))

    def query(self, text: str) -> NDArray[np.float32]:
        """The key (K,) of a question, unit norm."""
        with self._turn:
            return _plain(self._model.encode_query(text, **_HOW))


def _plain(keys: Any) -> NDArray[np.float32]:
    made: NDArray[np.float32] = np.asarray(keys, dtype=np.float32)
    return made


def _load(place: str) -> tuple[SentenceTransformer, Path]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError(
            f"keys of {place!r} need sentence-transformers: "
            f"pip install 'latent-agentmem[sentence-transformers]'",
            extra="sentence-transformers",
        ) from error
    try:
        folder = local_folder(place)
        with quiet():
            model = SentenceTransformer(
                folder,
                device="cpu",
                local_files_only=True,
                model_kwargs={"dtype": torch.float32},
            )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no sentence-transformers model {place!r} on this machine: give the folder of one, or "
            f"its whole name after it was fetched, as by "
            f"`hf download sentence-transformers/all-MiniLM-L6-v2` ({error})"
        ) from error
    except (RuntimeError, SafetensorError, LookupError, TypeError) as error:
        raise ModelError(
            f"the sentence-transformers model {place!r} is damaged: {error}"
        ) from error
    model.train(False)
    return model, Path(folder)


def _fingerprint(folder: Path) -> str:
    """A hash of the files that a key depends on, wherever they lie."""
    digest = hashlib.sha256()
    for home in (folder, *sorted(folder.glob("[0-9]*_*"))):
        for kinds in _PINNED:
            for file in next((found for kind in kinds if (found := sorted(home.glob(kind)))), []):
                with file.open("rb") as opened:
                    told = hashlib.file_digest(opened, "sha256").hexdigest()
                digest.update(f"{file.relative_to(folder).as_posix()} {told}\n".encode())
    return digest.hexdigest()[:16]
