"""Which models a store works with, loaded when it is opened and not before."""

from __future__ import annotations

import os

from agentmem.errors import InputError
from agentmem.models.base import BUILTIN, SENTENCE_TRANSFORMERS, MemoryModel


def load_model(model: str | os.PathLike[str] | MemoryModel | None, keys: str) -> MemoryModel:
    """A model bundle with the keys that a store is to have; see `agentmem.Memory`.

    Args:
        model: A bundle's folder, or a loaded one; None means the one that comes with the package.
        keys: ``"builtin"``, or ``"sentence-transformers:PLACE"``.

    Raises:
        InputError: the keys are of an unknown kind.
        ModelNotFoundError: there is no bundle, or no model for the keys.
        MissingExtraError: the keys need sentence-transformers, which is not installed.
    """
    if not isinstance(keys, str):
        raise TypeError(f"embedder is a string, not {type(keys).__name__}")
    kind, _, place = keys.partition(":")
    if keys != BUILTIN and (kind != SENTENCE_TRANSFORMERS or not place):
        raise InputError(
            f"unknown embedder {keys!r}: {BUILTIN!r}, or '{SENTENCE_TRANSFORMERS}:' and the folder "
            f"or name of a model"
        )
    if model is None or isinstance(model, str | os.PathLike):
        # Loading torch takes seconds: not before a store is opened.
        from agentmem.models.bundle.load import load_bundle

        model = load_bundle(None if model is None else os.fspath(model))
    if keys == BUILTIN:
        return model
    from agentmem.models.bundle.keyed import KeyedModel, load_keys

    return KeyedModel(model, load_keys(place))
