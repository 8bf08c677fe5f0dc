"""Reads corpus files: JSON lines, optionally compressed with Zstandard.

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

# The corpus is compressed with a window of 128 MiB, more than Zstandard accepts by default.
_WINDOW_BYTES = 2**27
_READ_BYTES = 2**20


def read_records(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a ``.jsonl`` or ``.jsonl.zst`` file in order.

    Empty lines are skipped. A compressed file may have several frames.

    Raises:
        InputError: A line is not a JSON object in UTF-8 (names file and line), or a compressed file
            is truncated or damaged; raised after the records before the damage.
        MissingExtraError: The file is compressed and ``zstandard`` is not installed.
        OSError: The file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        blocks = _decompressed(file, path.name) if path.suffix == ".zst" else _blocks(file)
        for number, line in enumerate(_lines(blocks), start=1):
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
    """The texts of a record in order: the content of each message, or the text of the document.

    Empty messages are skipped; speakers and titles are not included.

    Raises:
        InputError: The record has neither format.
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


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_READ_BYTES):
        yield block


def _decompressed(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Decompress frame by frame: `stream_reader` stops silently at truncation or a second frame."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            f"reading {name!r} needs zstandard: pip install 'latent-agentmem[train]'",
            extra="train",
        ) from error
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame = None
    try:
        for block in _blocks(file):
            left = block
            while left:
                frame = decompressor.decompressobj() if frame is None or frame.eof else frame
                yield frame.decompress(left)
                left = frame.unused_data
    except zstandard.ZstdError as error:
        raise InputError(f"{name} is damaged: {error}") from error
    if frame is None or not frame.eof:
        raise InputError(f"{name} is truncated: its last Zstandard frame is incomplete")


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for block in blocks:
        first, *others = block.split(b"\n")
        rest.append(first)
        for line in others:
            yield b"".join(rest)
            rest = [line]
    yield b"".join(rest)
