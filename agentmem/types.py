"""Input types: messages and documents, and the parts they are split into."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agentmem_storage.errors import InputError
from agentmem_storage.records import Scope, SourceKind

Role: TypeAlias = Literal["user", "assistant", "system", "developer", "tool"]

# The key of a message's own id in its metadata.
MESSAGE_ID = "message_id"
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        content: The text; recalled exactly.
        role: The speaker's role, as in chat APIs.
        name: The speaker's name.
        created_at: When it was said; UTC if without zone.
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
    """A text outside a conversation: a note, a page, a file; plain text or Markdown.

    Attributes:
        text: The text, as one string or as pieces that are concatenated; recalled exactly.
        title: Its title.
        uri: Where it comes from.
        created_at: When it was written; UTC if without zone.
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

        The title is the file's name and the uri its path as given. Line endings and a byte order
        mark are preserved.

        Args:
            path: A plain text or Markdown file.
            encoding: The encoding, decoded strictly.

        Raises:
            InputError: The encoding is unknown. When added: the file cannot be read or decoded;
                the message names the file and the first invalid byte.
        """
        path = Path(path)
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise InputError(f"unknown encoding {encoding!r}; try 'utf-8' or 'latin-1'") from error
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
