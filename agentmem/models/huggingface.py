"""Hugging Face models already on this machine: found without network access or progress bars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import try_to_load_from_cache
from transformers.utils import logging


def local_folder(name: str | os.PathLike[str]) -> str:
    """The folder of a model.

    transformers itself contacts the network for a name, even when told to use local files only.

    Args:
        name: Its folder, or its name if it has been downloaded before.

    Raises:
        OSError: no model of that name has been downloaded.
        ValueError: it is not a valid name.
    """
    name = os.fspath(name)
    if os.path.isdir(name):
        return name
    found = try_to_load_from_cache(name, "config.json")
    if not isinstance(found, str):
        raise OSError("neither a folder nor a model in the cache")
    return os.path.dirname(found)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers: a library does not print."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
