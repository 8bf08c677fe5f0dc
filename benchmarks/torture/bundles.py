"""Two tiny bundles, made in a process of their own: torch, which makes them, is slow to fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agentmem.models.bundle.load import ModelBundle, load_bundle

_MAKE = """
import sys
from agentmem.testing import tiny_bundle
for seed, folder in enumerate(sys.argv[1:]):
    tiny_bundle(folder, seed=seed)
"""


def two_bundles(folder: Path) -> dict[str, ModelBundle]:
    """Make two bundles in a folder and load them, by name."""
    places = [folder / name for name in ("first", "second")]
    subprocess.run([sys.executable, "-c", _MAKE, *map(str, places)], check=True)
    return {place.name: load_bundle(str(place)).load() for place in places}
