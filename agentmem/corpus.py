"""Records of a corpus: JSON lines, plain or packed with Zstandard.

A conversation has ``messages``, each with ``content``; a document or a structured record has
``text``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from agentmem.errors import InputError, MissingExtraError

# The corpus is packed with a window of 128 MiB, more than Zstandard accepts unasked.
_WINDOW_BYTES = 2**27
_READ_BYTES = 2**20


def read_records(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a ``.jsonl`` or ``.jsonl.zst`` file in their order, one at a time.

    Empty lines are passed over. A packed file may be of several frames.

    Raises:
        InputError: A line is not a JSON object in UTF-8 (names file and line), or a packed file
            is torn or damaged, which shows only after what stands before the damage.
        MissingExtraError: The file is packed and ``zstandard`` is not installed.
        OSError: The file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        pieces = _unpacked(file, path.name) if path.suffix == ".zst" else _pieces(file)
        for number, line in enumerate(_lines(pieces), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path.name}:{number} is not JSON in UTF-8: {error}") from error
            if not isinstance(record, dict):
                raise InputError(f"{path.name}:{number} is not a JSON object")
            yield record


def record_texts(record: dict[str, Any]) -> list[str]:
    """The texts of a record in order: what each message says, or the text of the document.

    Messages that say nothing are passed over; so are speakers and titles.

    Raises:
        InputError: The record has neither form.
    """
    try:
        texts = [m["content"] for m in record["messages"]] if "messages" in record else None
        texts = [record["text"]] if texts is None else texts
    except (KeyError, TypeError) as error:
        raise InputError(
            f"record {record.get('id')!r} has neither 'messages' with 'content' nor 'text'"
        ) from error
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"record {record.get('id')!r} has content that is not text")
    return [text for text in texts if text]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_READ_BYTES):
        yield piece


def _unpacked(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Unpack frame by frame: `stream_reader` would end silently at a tear or a second frame."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            f"reading {name!r} needs zstandard: pip install 'latent-agentmem[train]'",
            extra="train",
        ) from error
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame = None
    try:
        for piece in _pieces(file):
            left = piece
            while left:
                frame = unpacker.decompressobj() if frame is None or frame.eof else frame
                yield frame.decompress(left)
                left = frame.unused_data
    except zstandard.ZstdError as error:
        raise InputError(f"{name} is damaged: {error}") from error
    if frame is None or not frame.eof:
        raise InputError(f"{name} is torn: its last Zstandard frame has no end")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        for line in others:
            yield b"".join(rest)
            rest = [line]
    yield b"".join(rest)
