"""Reading corpus files: JSON lines, plain or packed with Zstandard.

Two shapes of record are known: ``{"messages": [{"content": ...}, ...]}`` and ``{"text": ...}``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentmem.errors import InputError, MissingExtraError

# The corpus is packed with a 128 MiB window, more than the library's default allows.
_WINDOW = 2**27


def read_records(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a ``.jsonl`` or ``.jsonl.zst`` file in file order.

    Raises:
        InputError: a line is not a JSON object; the message names file and line.
        MissingExtraError: the file is packed and ``zstandard`` is not installed.
    """
    path = Path(path)
    with path.open("rb") as file:
        raw: Any = file
        if path.suffix == ".zst":
            try:
                import zstandard
            except ImportError as error:
                raise MissingExtraError(
                    f"reading {path.name!r} needs zstandard: pip install 'latent-agentmem[train]'",
                    extra="train",
                ) from error
            raw = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file)
        for number, line in enumerate(io.TextIOWrapper(raw, encoding="utf-8"), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path.name}:{number} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise InputError(f"{path.name}:{number} is not a JSON object")
            yield record


def record_texts(record: dict[str, Any]) -> list[str]:
    """The texts of a record in order: each message's content, or the one document text.

    Raises:
        InputError: the record has neither ``messages`` nor ``text``.
    """
    if "messages" in record:
        return [message["content"] for message in record["messages"] if message["content"]]
    if "text" in record:
        return [record["text"]]
    raise InputError(f"record {record.get('id')!r} has neither 'messages' nor 'text'")
