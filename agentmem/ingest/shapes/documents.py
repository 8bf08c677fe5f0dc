"""Documents as plain values: ``{"document": {"text": ...}}``, with the fields of `Document`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from agentmem.types import Document
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

_KEY = "document"
_FIELDS = tuple(one.name for one in fields(Document))


def is_document(item: object) -> bool:
    """Whether something is a dict with nothing but a document."""
    return isinstance(item, Mapping) and list(item) == [_KEY]


def open_document(item: object, where: str) -> object:
    """The document in a dict that has nothing else; anything else as it is.

    Raises:
        InputError: what should be a document has no text, or fields that are not known.
    """
    if not isinstance(item, Mapping) or not is_document(item):
        return item
    given = item[_KEY]
    if not isinstance(given, Mapping) or "text" not in given:
        raise InputError(
            f"{where}: a document is {{'document': {{'text': '...'}}}}, got {shown(given)}"
        )
    unknown = [key for key in given if key not in _FIELDS]
    if unknown:
        raise InputError(
            f"{where}: a document has no {shown(unknown[0])}; it has {', '.join(_FIELDS)}"
        )
    return Document(**given)
