"""The networks of a bundle, loaded and wrapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from agentmem.errors import ModelError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.packing import load_codebooks
from agentmem.models.autoencoder.runtime import AutoencoderRuntime
from agentmem.models.bundle.manifest import RERANKER, Manifest, bundled_part
from agentmem.models.bundle.runtimes import Runtime
from agentmem.models.embedder.runtime import EmbedderRuntime
from agentmem.models.reranker.runtime import RerankerRuntime

_AUTOENCODER, _EMBEDDER = "autoencoder", "keys"


@dataclass(frozen=True, slots=True)
class Networks:
    """The frozen networks of a bundle, in float32 on the CPU.

    Attributes:
        codec: Encodes and decodes chunks.
        embedder: Makes embeddings.
        reranker: Scores candidates; None if the bundle has none.
    """

    codec: LatentCodec
    embedder: EmbedderRuntime
    reranker: RerankerRuntime | None


def load_networks(folder: Path, manifest: Manifest, runtime: Runtime) -> Networks:
    """Load a bundle's networks.

    Args:
        folder: The bundle's folder.
        manifest: Its manifest.
        runtime: The library that computes them; it is imported here.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelError: weights do not fit their configuration, or a codebook its autoencoder.
    """
    reranker = bundled_part(folder, RERANKER) if manifest.reranker else None
    load = _load_in_torch if runtime == "torch" else _load_in_numpy
    autoencoder, embedder, scorer = load(folder, reranker)
    try:
        codec = LatentCodec(
            autoencoder,
            load_codebooks(folder / _AUTOENCODER),
            None if scorer is None else scorer.token_ids,
        )
    except (ValueError, SafetensorError) as error:
        raise ModelError(f"bundle {manifest.name!r}: {error}") from error
    return Networks(codec, embedder, scorer)


_Loaded = tuple[AutoencoderRuntime, EmbedderRuntime, RerankerRuntime | None]


def _load_in_numpy(folder: Path, reranker: Path | None) -> _Loaded:
    from agentmem.models.autoencoder.numpy_runtime import NumpyAutoencoder
    from agentmem.models.embedder.numpy_runtime import NumpyEmbedder
    from agentmem.models.reranker.numpy_runtime import NumpyReranker

    return (
        NumpyAutoencoder.from_pretrained(folder / _AUTOENCODER),
        NumpyEmbedder.from_pretrained(folder / _EMBEDDER),
        None if reranker is None else NumpyReranker.from_pretrained(reranker),
    )


def _load_in_torch(folder: Path, reranker: Path | None) -> _Loaded:
    from agentmem.models.autoencoder.modeling import MemoryAutoencoder
    from agentmem.models.autoencoder.torch_runtime import TorchAutoencoder
    from agentmem.models.embedder.modeling import EmbedderModel
    from agentmem.models.embedder.torch_runtime import TorchEmbedder
    from agentmem.models.reranker.modeling import LatentReranker
    from agentmem.models.reranker.torch_runtime import TorchReranker

    return (
        TorchAutoencoder(MemoryAutoencoder.from_pretrained(folder / _AUTOENCODER)),
        TorchEmbedder(EmbedderModel.from_pretrained(folder / _EMBEDDER)),
        None if reranker is None else TorchReranker(LatentReranker.from_pretrained(reranker)),
    )
