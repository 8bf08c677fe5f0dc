"""How many bytes the same chunks take by other means, all without loss.

Each rival gets what favours it: the highest usual Zstandard level, and frames without magic
number, content size, checksum or dictionary id, since the store would know all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from agentmem.errors import InputError, MissingExtraError

DICTIONARY_BYTES = 112_640  # What the zstd command line trains by default.
_LEVEL = 19


@dataclass(frozen=True)
class RivalBytes:
    """Bytes that all chunks together take.

    Attributes:
        utf8: As plain UTF-8.
        zstd: Each chunk packed alone.
        zstd_dictionary: Each chunk packed alone, with a dictionary that is not counted here.
        id_packing: Token ids, each in the fewest bits that hold any id.
    """

    utf8: int
    zstd: int
    zstd_dictionary: int
    id_packing: int

    def per_token(self, tokens: int) -> dict[str, float]:
        """The rivals' bytes per token, as result files have them (UTF-8 stands elsewhere there).

        Raises:
            ValueError: ``tokens`` is below 1.
        """
        if tokens < 1:
            raise ValueError(f"tokens must be 1 or more, got {tokens!r}")
        return {
            "zstd": self.zstd / tokens,
            "zstd_dictionary": self.zstd_dictionary / tokens,
            "id_packing": self.id_packing / tokens,
        }


def rival_bytes(
    chunks: Sequence[str], tokens: Sequence[int], *, vocab_size: int, dictionary: bytes
) -> RivalBytes:
    """Pack chunks by other means.

    Args:
        chunks: Text of each chunk.
        tokens: Number of tokens of each chunk.
        vocab_size: How many token ids there are.
        dictionary: From `train_dictionary`, of text that is not among the chunks.

    Raises:
        MissingExtraError: ``zstandard`` is not installed.
        ValueError: ``chunks`` and ``tokens`` differ in length.
    """
    data = [chunk.encode() for chunk in chunks]
    packed = sum(id_packing_bytes(count, vocab_size) for _, count in zip(data, tokens, strict=True))
    return RivalBytes(
        utf8=sum(map(len, data)),
        zstd=sum(map(len, zstd_pack(data))),
        zstd_dictionary=sum(map(len, zstd_pack(data, dictionary))),
        id_packing=packed,
    )


def id_packing_bytes(tokens: int, vocab_size: int) -> int:
    """Bytes of ceil(log2(vocab_size)) bits per token, rounded up per chunk.

    Raises:
        ValueError: ``vocab_size`` is below 1, or ``tokens`` below 0.
    """
    if vocab_size < 1 or tokens < 0:
        raise ValueError(f"no chunk has {tokens!r} tokens of {vocab_size!r}")
    bits = (vocab_size - 1).bit_length()  # ceil(log2(vocab_size)), without rounding errors.
    return (tokens * bits + 7) // 8


def zstd_pack(chunks: Sequence[bytes], dictionary: bytes | None = None) -> list[bytes]:
    """Pack each chunk alone, with a dictionary if one is given.

    Raises:
        MissingExtraError: ``zstandard`` is not installed.
    """
    zstandard = _zstandard()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    compressor = zstandard.ZstdCompressor(
        compression_params=parameters,
        dict_data=zstandard.ZstdCompressionDict(dictionary) if dictionary else None,
    )
    return [compressor.compress(chunk) for chunk in chunks]


def train_dictionary(chunks: Sequence[str], *, size: int = DICTIONARY_BYTES) -> bytes:
    """Train a Zstandard dictionary; its own size is ``len`` of what is returned.

    Args:
        chunks: Training text, cut into chunks like those to be packed, and none of them.
        size: Bytes that it may take at most.

    Raises:
        InputError: The text is too little for a dictionary of that size.
        MissingExtraError: ``zstandard`` is not installed.
    """
    zstandard = _zstandard()
    samples = [chunk.encode() for chunk in chunks]
    try:
        trained = zstandard.train_dictionary(size, samples, level=_LEVEL, dict_id=1)
    except zstandard.ZstdError as error:
        raise InputError(
            f"{len(samples)} chunks with {sum(map(len, samples))} bytes cannot train a "
            f"dictionary of {size!r} bytes ({error}): give more text"
        ) from error
    data: bytes = trained.as_bytes()
    return data


def _zstandard() -> ModuleType:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            "comparing with Zstandard needs zstandard: pip install 'latent-agentmem[train]'",
            extra="train",
        ) from error
    return zstandard
