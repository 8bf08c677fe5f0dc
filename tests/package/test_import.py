from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "sqlalchemy", "tokenizers", "faiss", "numpy", "safetensors")

PROBE = """
import json, sys, time
began = time.perf_counter()
import agentmem
seconds = time.perf_counter() - began
dir(agentmem), agentmem.__version__
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""


def probe(folder: Path) -> dict[str, object]:
    """Import agentmem in a new process, in a folder of its own that is also its home."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("home")
    found = [probe(folder) for _ in range(3)]
    assert list(folder.iterdir()) == []  # nothing is made at import
    return found


def test_importing_takes_less_than_half_a_second(imports: list[dict[str, object]]) -> None:
    assert min(float(str(found["seconds"])) for found in imports) < 0.5


@pytest.mark.parametrize("name", HEAVY)
def test_importing_does_not_load(imports: list[dict[str, object]], name: str) -> None:
    modules = imports[0]["modules"]
    assert isinstance(modules, list)
    assert "agentmem" in modules
    assert name not in modules
