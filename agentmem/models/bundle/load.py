"""Loads a model bundle from its folder and checks that its parts fit each other."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_model

from agentmem.errors import ModelError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import load_codebooks
from agentmem.models.autoencoder.token_table import VALUES_PER_DIM
from agentmem.models.base import MemoryModel
from agentmem.models.bundle.manifest import RERANKER, bundled_part, read_manifest, shipped_bundle
from agentmem.models.bundle.parts import BundleCodec, BundleEmbedder, BundleReranker
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.forks import one_thread_in_children
from agentmem.models.plain import require_size
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.models.tokenizer import ByteTokenizer

NetworkT = TypeVar("NetworkT", MemoryAutoencoder, EmbedderModel, LatentReranker)


@cache
def load_bundle(folder: str | None = None) -> ModelBundle:
    """`ModelBundle`, loaded once per process and folder: stores share the frozen weights."""
    return ModelBundle(folder)


def _frozen(kind: type[NetworkT], folder: Path) -> NetworkT:
    """A network in float32 for inference.

    Unlike `from_pretrained`, this shows no progress bar on stderr each time a store is opened.
    """
    require_size(folder)
    network: NetworkT = kind(kind.config_class.from_pretrained(folder))
    try:
        load_model(network, folder / "model.safetensors")  # copied into float32 parameters
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"model.safetensors in {str(folder)!r} does not fit its config.json"
        ) from error
    network.train(False)
    return network


class ModelBundle(MemoryModel):
    """The model in one bundle folder, in float32 on the CPU.

    Attributes:
        tokenizer: The bundle's tokenizer, which can also encode in batches.
        autoencoder: The frozen network behind the codec.
    """

    tokenizer: ByteTokenizer

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Load a bundle and check its files.

        Args:
            folder: The bundle's folder; None means the one that comes with the package.

        Raises:
            ModelNotFoundError: there is no bundle there, or a file of it is missing.
            ModelError: a file is damaged or the parts do not fit each other.
        """
        one_thread_in_children()
        path = shipped_bundle() if folder is None else Path(folder)
        manifest = read_manifest(path)
        tokenizer = ByteTokenizer.from_folder(path / "tokenizer")
        self.autoencoder = _frozen(MemoryAutoencoder, path / "autoencoder")
        embedder = _frozen(EmbedderModel, path / "keys")
        reranker = None
        if manifest.reranker:
            reranker = _frozen(LatentReranker, bundled_part(path, RERANKER))
        config = self.autoencoder.config
        sizes = {
            "tokenizer": tokenizer.vocab_size,
            "autoencoder": config.vocab_size,
            "keys": embedder.config.vocab_size,
        }
        if reranker is not None:
            sizes[RERANKER] = reranker.config.vocab_size
        if len(set(sizes.values())) > 1:
            raise ModelError(
                f"the parts of bundle {manifest.name!r} have different vocabulary sizes: {sizes}"
            )
        codes = VALUES_PER_DIM**config.slot_dims
        if reranker is not None and reranker.config.codes != codes:
            raise ModelError(
                f"the reranker of bundle {manifest.name!r} knows {reranker.config.codes} codes, "
                f"its autoencoder makes {codes}"
            )
        try:
            codec = LatentCodec(self.autoencoder, load_codebooks(path / "autoencoder"))
        except (ValueError, SafetensorError) as error:
            raise ModelError(f"bundle {manifest.name!r}: {error}") from error
        super().__init__(
            manifest.name,
            fingerprint=manifest.fingerprint,
            codec=BundleCodec(codec, tokenizer, manifest.latents_fingerprint),
            embedder=BundleEmbedder(embedder, codec.max_tokens),
            reranker=None if reranker is None else BundleReranker(reranker, codec),
        )
