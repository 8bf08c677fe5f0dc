"""The result file: complete, ordered, written atomically, and free of host names and paths."""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from agentmem._version import __version__
from agentmem.evaluation.result import EvalResult, build_result, write_result


def result(**results: object) -> EvalResult:
    return build_result(
        "fidelity",
        config={"data": [Path("/home/ana/dev.jsonl.zst")], "k": np.int64(3)},
        seed=7,
        seconds=1.5,
        results=results,
        threads=2,
    )


def test_the_file_has_everything_in_order(tmp_path: Path) -> None:
    write_result(tmp_path / "r.json", result(share=np.float64(0.5), list=np.arange(2)))
    text = (tmp_path / "r.json").read_text()
    read = json.loads(text)
    assert list(read) == ["task", "config", "versions", "hardware", "seed", "seconds", "results"]
    assert (read["task"], read["seed"], read["seconds"]) == ("fidelity", 7, 1.5)
    assert read["results"] == {"share": 0.5, "list": [0, 1]}
    assert text.endswith("}\n")


def test_it_names_versions_and_hardware() -> None:
    read = json.loads(result().to_json())
    assert read["versions"]["agentmem"] == __version__
    assert read["versions"]["python"] == platform.python_version()
    assert read["versions"]["sqlite"] == sqlite3.sqlite_version
    for package in ("torch", "transformers", "tokenizers", "numpy", "sqlalchemy", "faiss-cpu"):
        assert read["versions"][package] == version(package)
    assert list(read["versions"]) == sorted(read["versions"])
    assert list(read["hardware"]) == ["cpu", "cores", "memory_gib", "threads", "gpu"]
    assert read["hardware"]["threads"] == 2
    assert read["hardware"]["gpu"] is None
    assert read["hardware"]["memory_gib"] > 0


def test_it_contains_neither_paths_nor_host_names() -> None:
    text = result().to_json()
    assert json.loads(text)["config"] == {"data": ["dev.jsonl.zst"], "k": 3}
    assert "/home" not in text
    assert str(Path.home()) not in text
    assert platform.node() not in text


def test_keys_keep_their_order() -> None:
    assert list(json.loads(result(b=1, a=2).to_json())["results"]) == ["b", "a"]
    assert result(b=1, a=2).to_json() == result(b=1, a=2).to_json()


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), ({1}, TypeError)]
)
def test_values_that_are_not_json_leave_the_old_file(
    tmp_path: Path, value: object, error: type[Exception]
) -> None:
    path = tmp_path / "r.json"
    write_result(path, result())
    before = path.read_text()
    with pytest.raises(error):
        write_result(path, result(value=value))
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "r.json"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_result(path, result())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_versions_are_read_without_importing_torch() -> None:
    code = (
        "import sys; from agentmem.versions import package_versions;"
        "assert 'torch' in package_versions(); assert 'torch' not in sys.modules"
    )
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=True
    )
