"""Namespaces and keys, and the external ids that stand for them.

A namespace and a key are one ASCII text, in which a slash separates the labels and the key, and
occurs nowhere else; so what is below a namespace is a range of ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from langgraph.store.base import InvalidNamespaceError

from agentmem.errors import InputError
from agentmem.ingest.checks import check_unicode
from agentmem_storage.text import shown

Namespace = tuple[str, ...]

# Before the ids of all items: other external ids of the same scope are none.
_HEAD: Final = "langgraph:"
_AFTER_HEAD: Final = "langgraph;"
# What separates the labels and the key, and the character after it.
_SLASH: Final = "/"
_AFTER_SLASH: Final = "0"


class NamespaceError(InputError, InvalidNamespaceError):  # type: ignore[misc]
    """A namespace or a key cannot be one; LangGraph's InvalidNamespaceError as well."""


def item_id(namespace: object, key: object) -> str:
    """The external id of an item.

    Raises:
        NamespaceError: The namespace is empty, or a label or the key is not a non-empty string.
    """
    labels = _labels(namespace)
    if not labels:
        raise NamespaceError("an item needs a namespace of one label or more, such as ('notes',)")
    return _HEAD + labels + _SLASH + _label(key, "a key")


def path_of(id: str) -> str:
    """Namespace and key of an item as a text that people can read."""
    return id.removeprefix(_HEAD)


def namespace_and_key(id: str) -> tuple[Namespace, str]:
    """The inverse of `item_id`."""
    *labels, key = map(unquote, path_of(id).split(_SLASH))
    return tuple(labels), key


def below(namespace: object) -> dict[str, Any]:
    """A filter of `Memory` for the items of a namespace and those below it; of ``()``, all.

    Raises:
        NamespaceError: A label is not a non-empty string.
    """
    prefix = _labels(namespace)
    if not prefix:
        return {"external_id": {"gte": _HEAD, "lt": _AFTER_HEAD}}
    first, end = (_HEAD + prefix + one for one in (_SLASH, _AFTER_SLASH))
    return {"external_id": {"gte": first, "lt": end}}


def check_path(path: Sequence[str]) -> None:
    """Check a part of a namespace, in which ``"*"`` may stand for any label.

    Raises:
        NamespaceError: A label is not a non-empty string.
    """
    _labels(path)


def _labels(namespace: object) -> str:
    if not isinstance(namespace, tuple | list):
        raise NamespaceError(f"a namespace is a tuple of strings, got {shown(namespace)}")
    return _SLASH.join(_label(label, f"a label of {shown(namespace)}") for label in namespace)


def _label(label: object, what: str) -> str:
    if not isinstance(label, str) or not label:
        raise NamespaceError(f"{what} must be a non-empty string, got {shown(label)}")
    return quote(check_unicode(label, what), safe="@:, ")
