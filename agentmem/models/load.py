"""Loads the model a store works with: a bundle, and the embedder and reranker chosen by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agentmem.errors import InputError
from agentmem.models.base import BUILTIN, TINY, MemoryModel
from agentmem.models.registry import get_embedder, get_reranker
from agentmem.models.text import with_embedder, with_reranker
from agentmem_storage.disk import as_path
from agentmem_storage.text import shown

if TYPE_CHECKING:
    from agentmem.models.bundle.runtimes import Runtime


def load_model(
    model: str | os.PathLike[str] | MemoryModel | None,
    embedder: str = BUILTIN,
    reranker: str = BUILTIN,
    runtime: Runtime | None = None,
) -> MemoryModel:
    """A model bundle with the embedder and reranker of a store; see `agentmem.Memory`.

    Args:
        model: A bundle's folder, or a loaded model; None means the bundle that comes with the
            package.
        embedder: ``"builtin"``, ``"tiny"`` (the smaller embedder of a bundle that has two), or the
            name of a registered embedder.
        reranker: ``"builtin"``, or the name of a registered reranker.
        runtime: The library that computes the bundle's networks; None means NumPy, or that of the
            loaded model.

    Raises:
        InputError: no embedder, reranker or runtime of that name is known, or a runtime is given
            for a model that is already loaded.
        ModelNotFoundError: there is no bundle, or no model for the embedder.
        MissingExtraError: the embedder needs sentence-transformers, or the runtime torch, which is
            not installed.
    """
    for part, name in (("embedder", embedder), ("reranker", reranker)):
        if not isinstance(name, str):
            raise TypeError(f"{part} is a string, not {type(name).__name__}")
    # Looked up first: an unknown name must not wait for the bundle.
    own_embedder = None if embedder in (BUILTIN, TINY) else get_embedder(embedder)
    own_reranker = None if reranker == BUILTIN else get_reranker(reranker)
    if model is None or isinstance(model, str | os.PathLike):
        from agentmem.models.bundle.load import load_bundle

        folder = None if model is None else str(as_path(model, "a bundle's folder"))
        model = load_bundle(folder, runtime or "numpy", tiny=embedder == TINY)
    elif runtime is not None:
        raise InputError(
            f"runtime={runtime!r} cannot change a loaded model: give model= as a folder, or load "
            f"the model with that runtime"
        )
    elif embedder == TINY:
        raise InputError("embedder='tiny' is one of a bundle: give model= as its folder")
    # Not its class: a wrapper that stands for a model will do.
    if not (hasattr(model, "codec") and hasattr(model, "embedder")):
        raise TypeError(f"model is a bundle's folder or a loaded model, not {shown(model)}")
    if own_embedder is not None:
        model = with_embedder(model, own_embedder)
    if own_reranker is not None:
        model = with_reranker(model, own_reranker)
    return model
