"""Models of Hugging Face that lie on this machine: nothing is fetched, nothing is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import try_to_load_from_cache
from transformers.utils import logging


def local_folder(place: str | os.PathLike[str]) -> str:
    """Where a model lies.

    transformers itself would go to the network for a name, whatever it is told.

    Args:
        place: Its folder, or its name, if it was downloaded before.

    Raises:
        OSError: nothing of that name was downloaded.
        ValueError: it is no name.
    """
    place = os.fspath(place)
    if os.path.isdir(place):
        return place
    found = try_to_load_from_cache(place, "config.json")
    if not isinstance(found, str):
        raise OSError("neither a folder nor a model in the cache")
    return os.path.dirname(found)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers: a library does not talk."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
