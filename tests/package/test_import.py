"""What `import agentmem` loads, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "sqlalchemy", "tokenizers", "faiss", "numpy", "safetensors")

PROBE = """
import json, sys
before = set(sys.modules)
import agentmem
dir(agentmem), agentmem.__version__
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def probe(folder: Path) -> list[str]:
    """What an import of agentmem loads in a new process, whose folder is also its home."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    loaded: list[str] = json.loads(done.stdout)
    return loaded


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("home")
    found = probe(folder)
    assert list(folder.iterdir()) == []  # nothing is made at import
    return found


def test_importing_loads_nothing_but_the_standard_library(imports: list[str]) -> None:
    """Which is what makes it fast, on any machine and however busy it is."""
    roots = {name.partition(".")[0] for name in imports}
    assert roots - sys.stdlib_module_names == {"agentmem"}
    assert len([name for name in imports if name.startswith("agentmem")]) < 5


@pytest.mark.parametrize("name", HEAVY)
def test_importing_does_not_load(imports: list[str], name: str) -> None:
    assert name not in imports
