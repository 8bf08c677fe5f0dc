"""The service and its client are extras: nothing else loads them, and without them they say so."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentmem.errors import MissingExtraError

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]

PROBE = """
import sys
import agentmem.memory, agentmem.aio, agentmem_cli.app
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"fastapi", "starlette", "uvicorn", "httpx", "prometheus_client", "jinja2"}
assert not any(name.startswith(("agentmem.service", "agentmem.remote")) for name in sys.modules)
import agentmem.remote
assert "fastapi" not in sys.modules
"""


@pytest.mark.parametrize(
    ("package", "library"),
    [("service", "fastapi"), ("service", "prometheus_client"), ("remote", "httpx")],
)
def test_the_extra_is_named(package: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(f"agentmem.{package}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"agentmem.{package}")
    monkeypatch.undo()
    assert caught.value.extra in EXTRAS
    assert f"latent-agentmem[{caught.value.extra}]" in str(caught.value)


def test_nothing_else_loads_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
