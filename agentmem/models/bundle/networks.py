"""The networks of a bundle, loaded and wrapped; importing this module imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from agentmem.errors import ModelError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import load_codebooks
from agentmem.models.bundle.manifest import RERANKER, Manifest, bundled_part
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.reranker.modeling import LatentReranker


@dataclass(frozen=True, slots=True)
class Networks:
    """The frozen networks of a bundle, in float32 on the CPU.

    Attributes:
        autoencoder: The network behind the codec.
        codec: Encodes and decodes chunks.
        embedder: Makes embeddings.
        reranker: Scores candidates; None if the bundle has none.
    """

    autoencoder: MemoryAutoencoder
    codec: LatentCodec
    embedder: EmbedderModel
    reranker: LatentReranker | None


def load_networks(folder: Path, manifest: Manifest) -> Networks:
    """Load a bundle's networks.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelError: weights do not fit their configuration, or a codebook its autoencoder.
    """
    autoencoder = MemoryAutoencoder.from_pretrained(folder / "autoencoder")
    try:
        codec = LatentCodec(autoencoder, load_codebooks(folder / "autoencoder"))
    except (ValueError, SafetensorError) as error:
        raise ModelError(f"bundle {manifest.name!r}: {error}") from error
    return Networks(
        autoencoder,
        codec,
        EmbedderModel.from_pretrained(folder / "keys"),
        LatentReranker.from_pretrained(bundled_part(folder, RERANKER))
        if manifest.reranker
        else None,
    )
