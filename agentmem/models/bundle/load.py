"""Opens a model bundle and checks that its parts fit each other; networks are loaded when needed.

A store is opened, listed, counted and copied without any network, so each is verified and loaded
when the first text needs it, and so are the tokenizer's words.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem.errors import ModelError
from agentmem.models.autoencoder.configuration import VALUES_PER_DIM, AutoencoderConfig
from agentmem.models.base import Embedder, MemoryModel
from agentmem.models.bundle.manifest import (
    EMBEDDER,
    RERANKER,
    Manifest,
    bundled_part,
    check_files,
    open_manifest,
    shipped_bundle,
)
from agentmem.models.bundle.parts import (
    BundleCodec,
    BundleEmbedder,
    BundleReranker,
    BundleSentenceEncoder,
    BundleTokenizer,
)
from agentmem.models.bundle.runtimes import Runtime, check_runtime
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.layers.forks import one_thread_in_children
from agentmem.models.lazy import Lazy
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.text import EmbedderOfTexts

if TYPE_CHECKING:
    from agentmem.models.bundle.networks import Networks


def load_bundle(
    folder: str | None = None, runtime: Runtime = "numpy", *, tiny: bool = False
) -> ModelBundle:
    """`ModelBundle`, opened once per process: stores share the frozen weights."""
    return _opened(folder, runtime, tiny)


@cache
def _opened(folder: str | None, runtime: Runtime, tiny: bool) -> ModelBundle:
    return ModelBundle(folder, runtime=runtime, tiny=tiny)


class ModelBundle(MemoryModel):
    """The model in one bundle folder, in float32 on the CPU.

    Attributes:
        tokenizer: The bundle's tokenizer, which can also encode in batches.
    """

    tokenizer: BundleTokenizer

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        runtime: Runtime = "numpy",
        tiny: bool = False,
    ) -> None:
        """Open a bundle and check its files, its weights when they are loaded.

        Args:
            folder: The bundle's folder; None means the one that comes with the package.
            runtime: The library that computes its networks; see `agentmem.models.bundle.runtimes`.
            tiny: Embed with the tiny embedder, even if the bundle has a sentence encoder.

        Raises:
            InputError: there is no such runtime.
            MissingExtraError: the runtime needs torch, which is not installed.
            ModelNotFoundError: there is no bundle there, or a file of it is missing.
            ModelError: a file other than weights is damaged, or the networks do not fit each other.
        """
        runtime = check_runtime(runtime)
        one_thread_in_children()
        path = shipped_bundle() if folder is None else Path(folder)
        manifest = open_manifest(path)
        check_files(path, manifest, weights=False)
        autoencoder = AutoencoderConfig.from_pretrained(path / "autoencoder")
        keys = EmbedderConfig.from_pretrained(path / "keys")
        reranker = None
        if manifest.reranker:
            reranker = LatentRerankerConfig.from_pretrained(
                bundled_part(path, RERANKER, weights=False)
            )
        _check_sizes(manifest.name, autoencoder, keys, reranker)
        tokenizer = BundleTokenizer(path, autoencoder.vocab_size)
        self._networks = Lazy(lambda: _load(path, manifest, runtime))
        limit = autoencoder.max_tokens
        embedder: Embedder = BundleEmbedder(self._networks, keys, limit)
        if manifest.embedder and not tiny:
            bundled_part(path, EMBEDDER, weights=False)
            embedder = EmbedderOfTexts(
                BundleSentenceEncoder(path, manifest.encoder_fingerprint), tokenizer
            )
        super().__init__(
            manifest.name,
            fingerprint=manifest.tiny_fingerprint if tiny else manifest.fingerprint,
            codec=BundleCodec(self._networks, tokenizer, autoencoder, manifest.latents_fingerprint),
            embedder=embedder,
            reranker=None if reranker is None else BundleReranker(self._networks, limit),
            # It makes up for what the tiny embedder misses. Behind a sentence encoder it gains
            # little in conversations for its time, and finds less among notes (benchmarks/LOG.md).
            reranks=tiny or not manifest.embedder,
        )


def _load(folder: Path, manifest: Manifest, runtime: Runtime) -> Networks:
    from agentmem.models.bundle.networks import Networks

    return Networks(folder, manifest, runtime)


def _check_sizes(
    bundle: str,
    autoencoder: AutoencoderConfig,
    keys: EmbedderConfig,
    reranker: LatentRerankerConfig | None,
) -> None:
    sizes = {"autoencoder": autoencoder.vocab_size, "keys": keys.vocab_size}
    if reranker is not None:
        sizes[RERANKER] = reranker.vocab_size
    if len(set(sizes.values())) > 1:
        raise ModelError(f"the parts of bundle {bundle!r} have different vocabulary sizes: {sizes}")
    codes = VALUES_PER_DIM**autoencoder.slot_dims
    if reranker is not None and reranker.codes != codes:
        raise ModelError(
            f"the reranker of bundle {bundle!r} knows {reranker.codes} codes, its autoencoder "
            f"makes {codes}"
        )
