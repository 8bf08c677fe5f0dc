"""Baselines of storage size: the bytes the same chunks take with lossless compressors.

Each baseline gets favorable settings: the highest usual Zstandard level, and frames without magic
number, content size, checksum or dictionary id, since a store would know all of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from agentmem.errors import InputError, MissingExtraError
from agentmem.models.autoencoder.huffman import huffman_lengths as huffman_code

DICTIONARY_BYTES = 112_640  # The default of the zstd command line.
_LEVEL = 19


@dataclass(frozen=True)
class BaselineBytes:
    """Total size of all chunks, in bytes.

    Attributes:
        utf8: As plain UTF-8.
        zstd: Each chunk compressed by itself.
        zstd_dictionary: Each chunk compressed by itself, with a dictionary that is not counted.
        id_packing: Token ids, each in the fewest bits that can represent any id.
        id_huffman: Token ids in a Huffman code whose table is not counted.
    """

    utf8: int
    zstd: int
    zstd_dictionary: int
    id_packing: int
    id_huffman: int

    def per_token(self, tokens: int) -> dict[str, float]:
        """The baselines' bytes per token, as in result files (which report UTF-8 elsewhere).

        Raises:
            ValueError: ``tokens`` is below 1.
        """
        if tokens < 1:
            raise ValueError(f"tokens must be 1 or more, got {tokens!r}")
        return {
            "zstd": self.zstd / tokens,
            "zstd_dictionary": self.zstd_dictionary / tokens,
            "id_packing": self.id_packing / tokens,
            "id_huffman": self.id_huffman / tokens,
        }


def baseline_bytes(
    chunks: Sequence[str],
    ids: Sequence[Sequence[int]],
    *,
    dictionary: bytes,
    code_lengths: Sequence[int],
) -> BaselineBytes:
    """Compress chunks with every baseline.

    Args:
        chunks: Text of each chunk.
        ids: Token ids of each chunk.
        dictionary: From `train_dictionary`, of text that is not among the chunks.
        code_lengths: From `huffman_lengths`, of ids that are not among the chunks; one for every
            id of the vocabulary.

    Raises:
        MissingExtraError: ``zstandard`` is not installed.
        ValueError: ``chunks`` and ``ids`` differ in length.
    """
    vocab_size = len(code_lengths)
    data = [chunk.encode() for chunk in chunks]
    packed = [id_packing_bytes(len(row), vocab_size) for _, row in zip(data, ids, strict=True)]
    return BaselineBytes(
        utf8=sum(map(len, data)),
        zstd=sum(map(len, zstd_pack(data))),
        zstd_dictionary=sum(map(len, zstd_pack(data, dictionary))),
        id_packing=sum(packed),
        id_huffman=sum(_whole_bytes(sum(code_lengths[id] for id in row)) for row in ids),
    )


def id_packing_bytes(tokens: int, vocab_size: int) -> int:
    """Bytes of ceil(log2(vocab_size)) bits per token, rounded up per chunk.

    Raises:
        ValueError: ``vocab_size`` is below 1, or ``tokens`` below 0.
    """
    if vocab_size < 1 or tokens < 0:
        raise ValueError(f"no chunk has {tokens!r} tokens of {vocab_size!r}")
    bits = (vocab_size - 1).bit_length()  # ceil(log2(vocab_size)), without rounding errors.
    return _whole_bytes(tokens * bits)


def huffman_lengths(ids: Iterable[int], vocab_size: int) -> list[int]:
    """Bits of each id in the optimal prefix code for the frequencies in a training text.

    Every count is increased by one, so that ids that never occur have a code too.

    Args:
        ids: Token ids of text that is not among the chunks to compress.
        vocab_size: Number of ids.

    Raises:
        ValueError: an id is not below ``vocab_size``.
    """
    counts = Counter(ids)
    if counts and not 0 <= min(counts) <= max(counts) < vocab_size:
        raise ValueError(f"ids from {min(counts)!r} to {max(counts)!r} are not in {vocab_size!r}")
    shares = np.array([counts[id] + 1.0 for id in range(vocab_size)])
    return [int(length) for length in huffman_code(shares)]


def zstd_pack(chunks: Sequence[bytes], dictionary: bytes | None = None) -> list[bytes]:
    """Compress each chunk by itself, with a dictionary if one is given.

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
    """Train a Zstandard dictionary.

    Args:
        chunks: Training text, cut like the chunks to compress but not among them.
        size: Its size in bytes, at most.

    Raises:
        InputError: There is too little text for a dictionary of that size.
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


def _whole_bytes(bits: int) -> int:
    return (bits + 7) // 8
