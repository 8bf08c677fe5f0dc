"""Opens a store with the model that it is bound to, or says how to get one or the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentmem.errors import IncompatibleModelError, InputError
from agentmem.models.base import BUILTIN, TINY, MemoryModel
from agentmem.models.bundle.find import USER_FOLDER, VARIABLE, find_bundle, latents_of
from agentmem.models.bundle.runtimes import Runtime
from agentmem.models.fingerprints import split_own_embedder
from agentmem.models.load import load_model
from agentmem_storage.encryption.master import Key
from agentmem_storage.store import Store
from agentmem_storage.text import shown, without_password
from agentmem_storage.timestamps import utc_now

Location = str | os.PathLike[str]

INDEX_VARIABLE = "AGENTMEM_INDEX"


class GivenKey:
    """The key of an open store, as far as other processes are told: the path of its file.

    All handles of a store have the same one.

    Attributes:
        file: The absolute path; None if there is no key, or it is not in a file.
        sendable: Whether another process can open the store with that.
    """

    def __init__(self, key: Key | None) -> None:
        self.change(key)

    def change(self, key: Key | None) -> None:
        """From now on, the store has another key."""
        self.file: str | None = None
        if isinstance(key, str | os.PathLike):
            self.file = os.path.abspath(os.path.expanduser(key))
        self.sendable = key is None or self.file is not None


def checked_clock(clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """A clock that says what is wrong with what it returns.

    Raises:
        InputError: it cannot be called; and from the clock itself: it returns no time with a zone.
    """
    if not callable(clock):
        raise InputError(f"clock= is a function that returns the time, not {shown(clock)}")

    def now() -> datetime:
        time = clock()
        if not isinstance(time, datetime) or time.utcoffset() is None:
            raise InputError(
                f"clock= must return a datetime with a zone, such as datetime.now(UTC), not "
                f"{shown(time)}"
            )
        return time

    return clock if clock is utc_now else now


def open_store(
    location: Location,
    model: Location | MemoryModel | None,
    *,
    embedder: str = BUILTIN,
    reranker: str = BUILTIN,
    runtime: Runtime | None = None,
    preload: bool = False,
    **options: Any,
) -> tuple[MemoryModel, Store]:
    """An open store and its model.

    Args:
        location: As for `agentmem.Memory`.
        model: As there. None means the bundle that comes with the package, or, for a store that
            was written with another one, or with its tiny embedder, that one if it can be found.
        embedder: As there.
        reranker: As there.
        runtime: As there.
        preload: As there; the store is opened when the networks are loaded, and its index then.
        **options: Passed to `Store.open`.

    Raises:
        IncompatibleModelError: the store is bound to another bundle, which was not found, or to
            another embedder.
    """
    loaded = load_model(model, embedder, reranker, runtime)
    try:
        return loaded, _open(location, loaded, preload, options)
    except IncompatibleModelError as error:
        if error.model is None:
            raise
        folder = find_bundle(error.model) if model is None else None
        # Of a bundle with two, a store keeps the embedder that it was created with.
        if embedder == BUILTIN and split_own_embedder(error.model) is None:
            embedder = TINY
        older = None if folder is None else load_model(folder, embedder, reranker, runtime)
        if older is not None and older.fingerprint == error.model:
            return older, _open(location, older, preload, options)
        raise _explained(error, location, loaded) from None


def index_choice(index: str | None) -> str:
    """What searches vectors.

    Args:
        index: As for `agentmem.Memory`.
    """
    if index is None:
        return os.environ.get(INDEX_VARIABLE, "").strip() or "auto"
    return index


def same_latents(model: str, latents: str | None, other: MemoryModel) -> bool | None:
    """Whether a store has the latents that a model makes; None if that is not known.

    Args:
        model: What the store is bound to.
        latents: What it says that its latents depend on; None if it does not.
        other: The model.
    """
    own = latents or latents_of(model)
    return None if own is None else own == other.codec.fingerprint


def bundle_wanted(model: str) -> str:
    """Where to put the bundle that a store is bound to."""
    return (
        f"put the folder of bundle {model!r:.100} into {USER_FOLDER!r}, or name the folder that "
        f"contains it in the environment variable {VARIABLE}"
    )


def _open(location: Location, model: MemoryModel, preload: bool, options: dict[str, Any]) -> Store:
    if preload:
        model.load()
    store = Store.open(
        location,
        model=model.fingerprint,
        embedding_dims=model.embedder.dims,
        latents=model.codec.fingerprint,
        **options,
    )
    if preload:
        try:
            store.load_index()
        except BaseException:
            store.close()
            raise
    return store


def _explained(
    error: IncompatibleModelError, location: Location, model: MemoryModel
) -> IncompatibleModelError:
    """The same error with the way out of this very case."""
    assert error.model is not None
    place = without_password(os.fspath(location))
    facts, own = str(error).partition(": ")[0], split_own_embedder(error.model)
    if same_latents(error.model, error.latents, model):
        kept = f"embedder={own.name!r}" if own else "no embedder="
        advice = (
            f"it has the same latents, and only the embedder differs: embed its memories again "
            f"with `agentmem migrate --store {place}`, or Memory.migrate({place!r}), which changes "
            f"nothing else; or open it with {kept}"
        )
    else:
        advice = (
            f"open it with the same bundle, Memory(path, model=...), and embedder, or "
            f"{bundle_wanted(error.model)}; `agentmem migrate --store {place}`, or "
            f"Memory.migrate({place!r}), then brings it to another bundle"
        )
    return IncompatibleModelError(f"{facts}: {advice}", model=error.model, latents=error.latents)
