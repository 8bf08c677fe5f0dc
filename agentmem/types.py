"""What callers hand in: messages and documents, and the parts that become memories."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agentmem_storage.errors import InputError
from agentmem_storage.records import SourceKind

Role: TypeAlias = Literal["user", "assistant", "system", "developer", "tool"]

_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said.

    Attributes:
        content: What was said; it comes back exactly.
        role: Who said it to whom, in the words of the chat APIs.
        name: The speaker's name.
        created_at: When it was said; a time without zone is taken as UTC.
        metadata: JSON values under string keys, to filter by.
    """

    content: str
    role: Role = "user"
    _: KW_ONLY
    name: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A text that nobody said: plain or Markdown, a note, a page, a file.

    Attributes:
        text: The text, whole or in pieces that are joined as they are; it comes back exactly.
        title: What it is called.
        uri: Where it came from.
        created_at: When it was written; a time without zone is taken as UTC.
        metadata: JSON values under string keys, to filter by.
    """

    text: str | Iterable[str] = field(repr=False)
    _: KW_ONLY
    title: str | None = None
    uri: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: str | Path, *, encoding: str = "utf-8") -> Document:
        """Return a document whose text is read from a file when it is added.

        The title is the file's name and the uri its path as given. Line ends and a byte order mark
        are kept as they are.

        Args:
            path: A plain text or Markdown file.
            encoding: How its bytes are to be read; strictly, nothing is replaced.

        Raises:
            InputError: The encoding is unknown. On reading: the file cannot be read, or bytes of
                it are not in that encoding; the message names the file and the first such byte.
        """
        path = Path(path)
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise InputError(f"unknown encoding {encoding!r}; try 'utf-8' or 'latin-1'") from error
        return cls(_FileText(path, encoding), title=path.name, uri=path.as_posix())


@dataclass(frozen=True, slots=True)
class Part:
    """One text that is to be stored, and what is known about it.

    A message with several text blocks, or with tool calls, becomes several parts.

    Attributes:
        kind: What it was.
        text: The exact text.
        role: Who said it; None for documents.
        name: The speaker's name.
        title: The document's title.
        uri: The document's origin.
        created_at: When it was said or written, in UTC; None if not known.
        metadata: JSON values under string keys. Tool calls carry ``tool`` and ``tool_call_id``,
            tool results ``tool_call_id`` and, where it was given, ``is_error``.
    """

    kind: SourceKind
    text: str
    role: Role | None = None
    name: str | None = None
    title: str | None = None
    uri: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


# What may be added in one call.
Content: TypeAlias = (
    str
    | Message
    | Document
    | Mapping[str, Any]
    | Iterable[str | Message | Document | Mapping[str, Any]]
)


@dataclass(frozen=True, slots=True)
class _FileText:
    """The text of a file in pieces, read anew by each iteration."""

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[str]:
        # Bytes are decoded here and not by open(), whose errors name no place in the file.
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        offset = 0
        try:
            with self.path.open("rb") as file:
                while True:
                    data = file.read(_PIECE_BYTES)
                    held_back = len(decoder.getstate()[0])
                    try:
                        text = decoder.decode(data, final=not data)
                    except UnicodeDecodeError as error:
                        raise InputError(
                            f"{str(self.path)!r} is not {self.encoding}: {error.reason} at byte "
                            f"{offset - held_back + error.start}; give its encoding= or convert it"
                        ) from error
                    yield text
                    if not data:
                        return
                    offset += len(data)
        except OSError as error:
            raise InputError(f"cannot read {str(self.path)!r}: {error.strerror}") from error
