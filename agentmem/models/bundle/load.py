"""A model bundle, loaded: what `MemoryModel` promises, by the frozen networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model

from agentmem.errors import ModelError
from agentmem.models.autoencoder.codec import LatentCodec, by_length, full_precision
from agentmem.models.autoencoder.codes import CODES
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import load_codebooks
from agentmem.models.base import (
    AUTO,
    MIN_FIDELITY,
    Encoded,
    Latent,
    Passage,
    View,
    no_reranker,
)
from agentmem.models.bundle.manifest import RERANKER, bundled_part, read_manifest, shipped_bundle
from agentmem.models.embedder.modeling import KeyEncoder
from agentmem.models.layers.padding import pad
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.models.reranker.scoring import score_latents
from agentmem.models.tokenizer import ByteTokenizer

NetworkT = TypeVar("NetworkT", MemoryAutoencoder, KeyEncoder, LatentReranker)


@cache
def load_bundle(folder: str | None = None) -> ModelBundle:
    """`ModelBundle`, loaded once per process and folder: stores share the frozen weights."""
    return ModelBundle(folder)


def _frozen(kind: type[NetworkT], folder: Path) -> NetworkT:
    """A network in float32 for inference.

    `from_pretrained` would do, and show a progress bar on stderr each time a store is opened.
    """
    network: NetworkT = kind(kind.config_class.from_pretrained(folder))
    try:
        load_model(network, folder / "model.safetensors")  # copied into float32 parameters
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"model.safetensors in {str(folder)!r} does not fit its config.json"
        ) from error
    network.train(False)
    return network


class ModelBundle:
    """Tokenizer, autoencoder, key encoder and reranker of one folder, in float32 on the CPU."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Load a bundle and check its files.

        Args:
            folder: The bundle's folder; None means the one that comes with the package.

        Raises:
            ModelNotFoundError: there is no bundle there, or a file of it is missing.
            ModelError: a file is damaged or the parts do not fit each other.
        """
        path = shipped_bundle() if folder is None else Path(folder)
        manifest = read_manifest(path)
        self.folder = path
        self.name = manifest.name
        self.fingerprint = manifest.fingerprint
        self.latents_fingerprint = manifest.latents_fingerprint
        self.tokenizer = ByteTokenizer.from_folder(path / "tokenizer")
        autoencoder = _frozen(MemoryAutoencoder, path / "autoencoder")
        self._keys = _frozen(KeyEncoder, path / "keys")
        config = autoencoder.config
        self._reranker = None
        if manifest.reranker:
            self._reranker = _frozen(LatentReranker, bundled_part(path, RERANKER))
        sizes = {
            "tokenizer": self.tokenizer.vocab_size,
            "autoencoder": config.vocab_size,
            "keys": self._keys.config.vocab_size,
        }
        if self._reranker is not None:
            sizes[RERANKER] = self._reranker.config.vocab_size
        if len(set(sizes.values())) > 1:
            raise ModelError(f"the parts of bundle {self.name!r} have other vocabularies: {sizes}")
        codes = CODES**config.slot_dims
        if self._reranker is not None and self._reranker.config.cells != codes:
            raise ModelError(
                f"the reranker of bundle {self.name!r} knows {self._reranker.config.cells} codes, "
                f"its autoencoder makes {codes}"
            )
        self.key_dims: int = self._keys.config.key_dims
        self.densities: tuple[str, ...] = tuple(config.densities)
        self.max_tokens: int = config.max_tokens
        self.autoencoder = autoencoder
        try:
            self._codec = LatentCodec(autoencoder, load_codebooks(path / "autoencoder"))
        except (ValueError, SafetensorError) as error:
            raise ModelError(f"bundle {self.name!r}: {error}") from error

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        prefaces: Sequence[Sequence[int]] | None = None,
        density: str = AUTO,
        min_fidelity: float = MIN_FIDELITY,
    ) -> list[Encoded]:
        """See `MemoryModel.encode`."""
        coded = self._codec.encode(
            chunks,
            densities=self.densities[::-1] if density == AUTO else (density,),
            min_fidelity=min_fidelity,
        )
        told = [()] * len(chunks) if prefaces is None else prefaces
        keys = self._key_rows([[*one, *ids] for one, ids in zip(told, chunks, strict=True)])
        return [
            Encoded(item.latents, item.packed, item.density, key, item.patch, item.fidelity)
            for item, key in zip(coded, keys, strict=True)
        ]

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """See `MemoryModel.unpack`."""
        return self._codec.unpack(packed, tokens)

    def regenerate(self, latents: Sequence[Latent], *, patched: bool = True) -> list[list[int]]:
        """See `MemoryModel.regenerate`."""
        found = self._codec.decode(
            [item.packed for item in latents],
            [item.tokens for item in latents],
            [item.patch for item in latents] if patched else None,
        )
        return [ids.tolist() for ids in found]

    def query_key(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """See `MemoryModel.query_key`."""
        key: NDArray[np.float32] = self._key_rows([ids])[0]
        return key

    @full_precision()
    def _key_rows(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Keys (B, K) of token ids; what is longer than a chunk is cut."""
        cut = [list(ids)[: self.max_tokens] for ids in texts]
        keys = np.empty((len(cut), self.key_dims), dtype=np.float32)
        for rows in by_length([len(ids) for ids in cut]):
            keys[rows] = self._keys(*pad([cut[row] for row in rows])).numpy()
        return keys

    @property
    def reranks(self) -> bool:
        """See `MemoryModel.reranks`."""
        return self._reranker is not None

    @full_precision()
    def rerank(
        self, query: Sequence[int], passages: Sequence[Passage], views: Sequence[View]
    ) -> NDArray[np.float32]:
        """See `MemoryModel.rerank`."""
        if self._reranker is None:
            raise no_reranker(self.name)
        # The comparison grows with the question: of a longer one, as for its key, the beginning.
        asked = query[: self.max_tokens]
        return score_latents(self._reranker, self._codec, asked, passages, views)
