"""The networks of a bundle; each is verified and loaded when it is first needed.

A found text is looked up in a table (see `agentmem.models.base.Codec.look_up`), a bundle with a
sentence encoder does not use the tiny embedder, and most recalls score nothing again. So a command
seldom needs all of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentmem.errors import ModelError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.packing import FILE as CODEBOOKS
from agentmem.models.autoencoder.packing import load_codebooks
from agentmem.models.autoencoder.runtime import AutoencoderRuntime, Floats
from agentmem.models.bundle.manifest import RERANKER, Manifest, bundled_part, check_file
from agentmem.models.bundle.runtimes import Runtime
from agentmem.models.embedder.runtime import EmbedderRuntime
from agentmem.models.layers.configuration import FILE as CONFIGURATION
from agentmem.models.layers.weights import FILE as WEIGHTS
from agentmem.models.lazy import Lazy
from agentmem.models.reranker.runtime import RerankerRuntime

_AUTOENCODER, _EMBEDDER = "autoencoder", "keys"


class Networks:
    """The frozen networks of a bundle, in float32 on the CPU.

    What loads one raises ModelNotFoundError for a missing file, and ModelError for a file that is
    not the one that the manifest names, weights that do not fit their configuration, or a codebook
    that does not fit its autoencoder.

    Attributes:
        autoencoder: Latents and back.
        codec: Encodes and decodes chunks with it.
        embedder: Makes embeddings.
        reranker: Scores candidates; None if the bundle has none.
    """

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime) -> None:
        """Load nothing yet.

        Args:
            folder: The bundle's folder.
            manifest: Its manifest.
            runtime: The library that computes them; it is imported with the first.
        """
        self._folder, self._manifest, self._torch = folder, manifest, runtime == "torch"
        self.autoencoder = Lazy(self._load_autoencoder)
        self.codec = Lazy(self._load_codec)
        self.embedder = Lazy(self._load_embedder)
        self.reranker = Lazy(self._load_reranker) if manifest.reranker else None

    def _load_codec(self) -> LatentCodec:
        folder, reranker = self._verified(_AUTOENCODER, CODEBOOKS), self.reranker
        config = AutoencoderConfig.from_pretrained(folder)
        try:
            return LatentCodec(
                _Autoencoder(config, self.autoencoder),
                load_codebooks(folder),
                None if reranker is None else lambda indices: reranker().token_ids(indices),
            )
        except (ValueError, SafetensorError) as error:
            raise ModelError(f"bundle {self._manifest.name!r}: {error}") from error

    def _load_autoencoder(self) -> AutoencoderRuntime:
        folder = self._verified(_AUTOENCODER, WEIGHTS)
        if self._torch:
            from agentmem.models.autoencoder.modeling import MemoryAutoencoder
            from agentmem.models.autoencoder.torch_runtime import TorchAutoencoder

            return TorchAutoencoder(MemoryAutoencoder.from_pretrained(folder))
        from agentmem.models.autoencoder.numpy_runtime import NumpyAutoencoder

        return NumpyAutoencoder.from_pretrained(folder)

    def _load_embedder(self) -> EmbedderRuntime:
        folder = self._verified(_EMBEDDER, WEIGHTS)
        if self._torch:
            from agentmem.models.embedder.modeling import EmbedderModel
            from agentmem.models.embedder.torch_runtime import TorchEmbedder

            return TorchEmbedder(EmbedderModel.from_pretrained(folder))
        from agentmem.models.embedder.numpy_runtime import NumpyEmbedder

        return NumpyEmbedder.from_pretrained(folder)

    def _load_reranker(self) -> RerankerRuntime:
        folder = bundled_part(self._folder, RERANKER)
        if self._torch:
            from agentmem.models.reranker.modeling import LatentReranker
            from agentmem.models.reranker.torch_runtime import TorchReranker

            return TorchReranker(LatentReranker.from_pretrained(folder))
        from agentmem.models.reranker.numpy_runtime import NumpyReranker

        return NumpyReranker.from_pretrained(folder)

    def _verified(self, part: str, file: str) -> Path:
        """The folder of a network, whose configuration and one other file are verified.

        Both: an upgrade may have replaced what was there when the bundle was opened.
        """
        for name in (CONFIGURATION, file):
            check_file(self._folder, self._manifest, f"{part}/{name}")
        return self._folder / part


class _Autoencoder:
    """An `AutoencoderRuntime` that is loaded when it first computes."""

    def __init__(self, config: AutoencoderConfig, load: Lazy[AutoencoderRuntime]) -> None:
        self.config = config
        self._load = load

    def encode(
        self, ids: NDArray[np.int64], mask: NDArray[np.bool_], *, double: bool = False
    ) -> Floats:
        return self._load().encode(ids, mask, double=double)

    def to_codes(self, states: Floats, quantization: str) -> Floats:
        return self._load().to_codes(states, quantization)

    def decode(
        self,
        codes: NDArray[np.int8],
        mask: NDArray[np.bool_],
        quantization: str,
        *,
        double: bool = False,
    ) -> Floats:
        return self._load().decode(codes, mask, quantization, double=double)

    def to_logits(self, states: Floats) -> Floats:
        return self._load().to_logits(states)
