"""Input types: messages and documents, and the parts they are split into."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from agentmem_storage.errors import InputError
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.records import Scope, SourceKind
from agentmem_storage.text import shown

Role: TypeAlias = Literal["user", "assistant", "system", "developer", "tool"]

# The key of a message's own id in its metadata.
MESSAGE_ID = "message_id"
_PIECE_BYTES = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        content: The text; recalled exactly.
        role: The speaker's role, as in chat APIs.
        name: The speaker's name.
        created_at: When it was said; UTC if without zone.
        metadata: JSON values under string keys, to filter by.
        external_id: Your own id for it: added again with other content, it is replaced.
        expires_at: When it is to be in no result any more; UTC if without zone.
    """

    content: str
    role: Role = "user"
    _: KW_ONLY
    name: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A text outside a conversation: a note, a page, a file; plain text or Markdown.

    Attributes:
        text: The text, as one string or as pieces that are concatenated; recalled exactly.
        title: Its title.
        uri: Where it comes from.
        created_at: When it was written; UTC if without zone.
        metadata: JSON values under string keys, to filter by.
        external_id: Your own id for it: added again with other content, it is replaced.
        expires_at: When it is to be in no result any more; UTC if without zone.
    """

    text: str | Iterable[str] = field(repr=False)
    _: KW_ONLY
    title: str | None = None
    uri: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    expires_at: datetime | None = None

    @classmethod
    def from_file(cls, path: str | Path, *, encoding: str = "utf-8") -> Document:
        """Return a document whose text is read from a file when it is added.

        The title is the file's name and the uri its path as given. Line endings and a byte order
        mark are preserved.

        Args:
            path: A plain text or Markdown file.
            encoding: The encoding, decoded strictly.

        Raises:
            TypeError: The encoding is not a string.
            InputError: The encoding is unknown or not one of text, or the path cannot be one. When
                added: the path is not a regular file; it cannot be read or decoded, and the
                message names the first invalid byte; or it is UTF-16 or UTF-32 without a byte order
                mark, so that its byte order is unknown.
        """
        if "\0" in os.fspath(path):
            raise InputError(f"{shown(os.fspath(path))} is not a path: it has a NUL character")
        path = Path(path)
        if not isinstance(encoding, str):
            raise TypeError(f"encoding must be a string, not {shown(encoding)}")
        try:
            " ".encode(encoding)  # refuses codecs from bytes to bytes, such as "hex"
            codecs.getincrementaldecoder(encoding)
        except (LookupError, ValueError) as error:
            raise InputError(
                f"{shown(encoding)} is not an encoding of text; try 'utf-8' or 'latin-1'"
            ) from error
        return cls(_FileText(path, encoding), title=path.name, uri=path.as_posix())


@dataclass(frozen=True, slots=True)
class Part:
    """One text to be stored, with its attributes.

    A message with several text blocks, or with tool calls, becomes several parts.

    Attributes:
        kind: What kind of content it is.
        text: The exact text.
        role: The speaker's role; None for documents.
        name: The speaker's name.
        title: The document's title.
        uri: The document's origin.
        created_at: When it was said or written, in UTC; None if not known.
        metadata: JSON values under string keys. Tool calls carry ``tool`` and ``tool_call_id``,
            tool results ``tool_call_id`` and, if given, ``is_error``, messages with an id of their
            own ``message_id``.
        repeat: How many equal parts of the same message precede it.
        scope: Whose memory it is.
        ordered_at: For a message of unknown time among others: the time of the message before it,
            or of the next one that has a time. It is stored with that, but not told from equal ones
            by it.
        external_id: The caller's own id for it, of which its scope has one.
        expires_at: When it is to be in no result any more, in UTC; None for never.
    """

    kind: SourceKind
    text: str
    role: Role | None = None
    name: str | None = None
    title: str | None = None
    uri: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0
    scope: Scope = Scope()
    ordered_at: datetime | None = None
    external_id: str | None = None
    expires_at: datetime | None = None


# What `Memory.add` accepts.
Content: TypeAlias = (
    str
    | Message
    | Document
    | Mapping[str, Any]
    | Iterable[str | Message | Document | Mapping[str, Any]]
)


@dataclass(frozen=True, slots=True)
class _FileText:
    """The text of a file in pieces, read again on each iteration."""

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[str]:
        # Bytes are decoded here, not by open(), whose errors do not give the offset in the file.
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        offset = 0
        try:
            with _open_regular(self.path) as file:
                while True:
                    data = file.read(_PIECE_BYTES)
                    if offset == 0:
                        self._require_order(data)
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
            if is_interruption(error):
                raise
            raise InputError(f"cannot read {str(self.path)!r}: {error.strerror}") from error

    def _require_order(self, beginning: bytes) -> None:
        """Check that two bytes per character are read in the order in which they were written."""
        name = codecs.lookup(self.encoding).name
        if beginning and name in _MARKS and not beginning.startswith(_MARKS[name]):
            raise InputError(
                f"{str(self.path)!r} has no byte order mark: give encoding='{name}-le' or "
                f"'{name}-be'"
            )
        if name in ("utf-8", "utf-8-sig", "ascii") and (order := _utf_16(beginning)):
            raise InputError(
                f"{str(self.path)!r} looks like UTF-16 without a byte order mark: give "
                f"encoding='{order}', or convert it"
            )


def _open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; pipes and devices, which may never end, are refused.

    Raises:
        InputError: It is none.
        OSError: It cannot be opened.
    """
    # Opening a pipe would wait for somebody who writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise InputError(f"cannot read {str(path)!r}: it is {what}, not a file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _utf_16(beginning: bytes) -> str | None:
    """The byte order if every other byte is 0, as in UTF-16 of a European language."""
    even, odd = beginning[:4096:2], beginning[1:4096:2]
    for name, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if len(high) >= 8 and 2 * high.count(0) >= len(high) and 8 * low.count(0) <= len(low):
            return name
    return None
