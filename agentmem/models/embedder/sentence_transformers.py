"""Embeddings from any sentence-transformers model on this machine, in place of the bundle's own.

The package is an optional extra and takes seconds to import, so it is imported only when needed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentmem.errors import MissingExtraError, ModelError, ModelNotFoundError
from agentmem.models.plain import require_plain
from agentmem_storage.forks import not_during_fork

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# The files that an embedding depends on, in the model's folder and in those of its modules
# (``1_Pooling``). Of each kind only the first match counts: how a model was downloaded decides
# which equivalent files it comes with.
_PINNED = (
    ("*.safetensors", "*.bin"),
    ("tokenizer.json", "vocab.txt", "*.model"),
    ("config.json",),
    ("modules.json",),
    ("sentence_bert_config.json",),
    ("config_sentence_transformers.json",),
)
_OPTIONS: dict[str, Any] = {
    "convert_to_numpy": True,
    "normalize_embeddings": True,
    "show_progress_bar": False,
}


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU, in float32; usable from several threads.

    Texts longer than the model's limit are truncated.

    Attributes:
        name: The last part of its name or folder.
        fingerprint: Sixteen hex digits that stand for its weights, tokenizer and settings.
        dims: K.
    """

    def __init__(self, model: str) -> None:
        """Load a model; nothing is downloaded.

        Args:
            model: Its folder, or its name if it has been downloaded before.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelNotFoundError: there is no such model on this machine.
            ModelError: it is damaged.
        """
        self._model, folder = _load(model)
        # Some of its tokenizers must not be used from two threads at once.
        self._lock = threading.Lock()
        self.name = os.path.basename(os.path.normpath(model))
        self.fingerprint = _fingerprint(folder)
        # Not every model declares its dimensions.
        self.dims: int = len(self.embed_query(""))

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings (B, K) of stored texts, unit norm."""
        with not_during_fork(), self._lock:
            return _float32(self._model.encode_document(list(texts), **_OPTIONS))

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embedding (K,) of a query, unit norm."""
        with not_during_fork(), self._lock:
            return _float32(self._model.encode_query(text, **_OPTIONS))


def _float32(embeddings: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.asarray(embeddings, dtype=np.float32)
    return array


def _load(name: str) -> tuple[SentenceTransformer, Path]:
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        from agentmem.models.huggingface import local_folder, quiet
    except ImportError as error:
        raise MissingExtraError(
            f"embedder {name!r} needs sentence-transformers: "
            f"pip install 'latent-agentmem[sentence-transformers]'",
            extra="sentence-transformers",
        ) from error
    try:
        folder = local_folder(name)
        require_plain(folder)
        with quiet():
            model = SentenceTransformer(
                folder,
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no sentence-transformers model {name!r} on this machine: give its folder, or its "
            f"full name once it is downloaded, for example with "
            f"`hf download sentence-transformers/all-MiniLM-L6-v2` ({error})"
        ) from error
    except (RuntimeError, SafetensorError, LookupError, TypeError) as error:
        raise ModelError(f"the sentence-transformers model {name!r} is damaged: {error}") from error
    model.train(False)
    return model, Path(folder)


def _fingerprint(folder: Path) -> str:
    """A hash of the files that an embedding depends on, independent of the folder's location."""
    digest = hashlib.sha256()
    for home in (folder, *sorted(folder.glob("[0-9]*_*"))):
        for kinds in _PINNED:
            for file in next((found for kind in kinds if (found := sorted(home.glob(kind)))), []):
                with file.open("rb") as opened:
                    file_hash = hashlib.file_digest(opened, "sha256").hexdigest()
                digest.update(f"{file.relative_to(folder).as_posix()} {file_hash}\n".encode())
    return digest.hexdigest()[:16]
