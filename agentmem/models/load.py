"""Loads the model a store works with: a bundle, and the embedder and reranker chosen by name."""

from __future__ import annotations

import os

from agentmem.models.base import BUILTIN, MemoryModel
from agentmem.models.registry import get_embedder, get_reranker
from agentmem.models.text import with_embedder, with_reranker
from agentmem_storage.text import shown


def load_model(
    model: str | os.PathLike[str] | MemoryModel | None,
    embedder: str = BUILTIN,
    reranker: str = BUILTIN,
) -> MemoryModel:
    """A model bundle with the embedder and reranker of a store; see `agentmem.Memory`.

    Args:
        model: A bundle's folder, or a loaded model; None means the bundle that comes with the
            package.
        embedder: ``"builtin"``, or the name of a registered embedder.
        reranker: ``"builtin"``, or the name of a registered reranker.

    Raises:
        InputError: no embedder or reranker of that name is registered.
        ModelNotFoundError: there is no bundle, or no model for the embedder.
        MissingExtraError: the embedder needs sentence-transformers, which is not installed.
    """
    for part, name in (("embedder", embedder), ("reranker", reranker)):
        if not isinstance(name, str):
            raise TypeError(f"{part} is a string, not {type(name).__name__}")
    # Looked up first: an unknown name must not wait for the bundle, whose torch takes seconds.
    own_embedder = None if embedder == BUILTIN else get_embedder(embedder)
    own_reranker = None if reranker == BUILTIN else get_reranker(reranker)
    if model is None or isinstance(model, str | os.PathLike):
        from agentmem.models.bundle.load import load_bundle

        model = load_bundle(None if model is None else os.fspath(model))
    # Not its class: a wrapper that stands for a model will do.
    if not (hasattr(model, "codec") and hasattr(model, "embedder")):
        raise TypeError(f"model is a bundle's folder or a loaded model, not {shown(model)}")
    if own_embedder is not None:
        model = with_embedder(model, own_embedder)
    if own_reranker is not None:
        model = with_reranker(model, own_reranker)
    return model
