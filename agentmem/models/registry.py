"""Embedders and rerankers by name: the ones that come with agentmem, and your own.

::

    import numpy as np
    from agentmem import Memory
    from agentmem.models import register_embedder


    class LetterCounts:
        name, fingerprint, dims = "letters", "1", 26

        def embed_documents(self, texts):
            return np.stack([self.embed_query(text) for text in texts])

        def embed_query(self, text):
            return np.array([text.lower().count(chr(97 + i)) for i in range(26)], np.float32)


    register_embedder("letters", lambda _: LetterCounts())
    mem = Memory(":memory:", embedder="letters")

A name may carry an argument behind a colon, as in ``"sentence-transformers:all-MiniLM-L6-v2"``;
the factory receives it (an empty string if there is none). Each name with its argument is made
once per process, and stores share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from agentmem.errors import InputError
from agentmem.models.base import BUILTIN, TINY, TextEmbedder, TextReranker

SENTENCE_TRANSFORMERS = "sentence-transformers"

PartT = TypeVar("PartT")


class _Registry(Generic[PartT]):
    """Factories by name, and what they have made."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._factories: dict[str, tuple[Callable[[str], PartT], bool]] = {}
        self._made: dict[str, PartT] = {}

    def register(self, name: str, factory: Callable[[str], PartT], needs_argument: bool) -> None:
        if not name or ":" in name or name in (BUILTIN, TINY):
            raise InputError(
                f"{self._part} name {name!r} must be a word other than {BUILTIN!r} and {TINY!r}"
            )
        self._factories[name] = factory, needs_argument
        self._made = {
            spec: made for spec, made in self._made.items() if spec.partition(":")[0] != name
        }

    def get(self, spec: str) -> PartT:
        name, colon, argument = spec.partition(":")
        factory, needs_argument = self._factories.get(name, (None, False))
        if factory is None or (colon and not argument) or (needs_argument and not argument):
            raise InputError(f"unknown {self._part} {spec!r}: one of {self._known()}")
        if spec not in self._made:
            self._made[spec] = factory(argument)
        return self._made[spec]

    def _known(self) -> str:
        names = [
            f"'{name}:' and its argument" if needs_argument else repr(name)
            for name, (_, needs_argument) in self._factories.items()
        ]
        return ", ".join([repr(BUILTIN), *names])


_EMBEDDERS: _Registry[TextEmbedder] = _Registry("embedder")
_RERANKERS: _Registry[TextReranker] = _Registry("reranker")


def register_embedder(
    name: str, factory: Callable[[str], TextEmbedder], *, needs_argument: bool = False
) -> None:
    """Make an embedder available as ``Memory(embedder=name)``; an older one is replaced.

    Args:
        name: A word without a colon.
        factory: Makes the embedder; receives what follows ``name:``.
        needs_argument: Whether the name alone is not enough.

    Raises:
        InputError: the name is empty, ``"builtin"`` or ``"tiny"``, or contains a colon.
    """
    _EMBEDDERS.register(name, factory, needs_argument)


def register_reranker(
    name: str, factory: Callable[[str], TextReranker], *, needs_argument: bool = False
) -> None:
    """Make a reranker available as ``Memory(reranker=name)``; see `register_embedder`."""
    _RERANKERS.register(name, factory, needs_argument)


def get_embedder(spec: str) -> TextEmbedder:
    """The embedder called ``name`` or ``name:argument``.

    Raises:
        InputError: no embedder of that name is registered.
    """
    return _EMBEDDERS.get(spec)


def get_reranker(spec: str) -> TextReranker:
    """The reranker called ``name`` or ``name:argument``.

    Raises:
        InputError: no reranker of that name is registered.
    """
    return _RERANKERS.get(spec)


def _sentence_transformer(model: str) -> TextEmbedder:
    # The package takes seconds to import.
    from agentmem.models.embedder.sentence_transformers import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(model)


register_embedder(SENTENCE_TRANSFORMERS, _sentence_transformer, needs_argument=True)
