"""Support for tests of saved models: edited configurations, and scripts that must print nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a JSON file says."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def assert_silent(script: str, *arguments: Path) -> None:
    """Run a script in a process of its own: it ends well, prints nothing and warns of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        capture_output=True,
        env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
