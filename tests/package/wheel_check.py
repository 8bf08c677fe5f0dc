"""Checks the wheel as users get it: built from the sdist, in an empty environment, offline.

Run by `make test` after the tests: ``python tests/package/wheel_check.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"agentmem": ".", "agentmem_storage": "storage", "agentmem_cli": "cli"}

# Any use of the network is an error from here on: name look-ups and connections alike.
OFFLINE = """
import runpy, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"the network was used: {args!r}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    """Build, compare, install, run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # `build` makes the sdist first, and the wheel from it.
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT)
        (wheel,) = (folder / "dist").glob("*.whl")
        compare(wheel)
        venv.create(folder / "venv")
        python = folder / "venv" / "bin" / "python"
        # Of the modules of all dependencies the quickstart imports a few, and torch is not there.
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
        pip = (*pip, "install", "--quiet", "--no-compile")
        run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[cpu]")
        (folder / "offline.py").write_text(OFFLINE, encoding="utf-8")
        example = ROOT / "examples" / "quickstart.py"
        shown = run(python, folder / "offline.py", example, cwd=folder)
        assert "9:40" in shown, shown
        command = folder / "venv" / "bin" / "agentmem"
        shown = run(command, "--version", cwd=folder)
        assert "0." in shown, shown
        run(command, "add", "The key is under the mat.", "--store", folder / "store", cwd=folder)
        shown = run(command, "recall", "where is the key?", "--store", folder / "store", cwd=folder)
        assert "under the mat" in shown, shown
        installed = run(*pip[:5], "list", "--format=freeze")
        assert "agentmem" in installed, installed
        assert "torch" not in installed, installed
        assert "transformers" not in installed, installed
    print("wheel check: built from the sdist, contents complete, runs offline without torch")


def compare(wheel: Path) -> None:
    """Every file of the three packages is in the wheel, and nothing else but its metadata."""
    expected = {
        file.relative_to(ROOT / home).as_posix()
        for package, home in PACKAGES.items()
        for file in (ROOT / home / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        size = sum(item.file_size for item in archive.infolist() if "/weights/" in item.filename)
    assert found == expected, f"only in the tree or the wheel: {sorted(found ^ expected)}"
    assert size < 64 * 2**20, f"the shipped weights take {size} bytes"


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command; its output is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
