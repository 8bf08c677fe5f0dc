"""Installed package versions, for result files and for `agentmem doctor`."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from agentmem._version import __version__

_PACKAGES = ("numpy", "sqlalchemy", "tokenizers", "torch", "transformers")
_FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu")


def package_versions() -> dict[str, str]:
    """Versions of Python, agentmem, SQLite and relevant packages, without importing them.

    Packages that are not installed are omitted.
    """
    found = {
        "agentmem": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    for package in (*_PACKAGES, *_FAISS_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
