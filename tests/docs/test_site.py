"""The site builds without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.markdown import ROOT

NEEDED = ("mkdocs", "material", "mkdocstrings")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        pytest.fail(
            f"{', '.join(missing)} cannot be imported: run `make .venv/dev.stamp`, or "
            "`pip install -c constraints.txt -e '.[docs]'`"
        )
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_reference_comes_from_docstrings(site: Path) -> None:
    page = (site / "reference" / "memory" / "index.html").read_text(encoding="utf-8")
    for verb in ("add", "recall", "get", "list", "update", "forget", "verify", "stats", "scoped"):
        assert f'id="agentmem.Memory.{verb}"' in page


def test_plots_are_on_the_site(site: Path) -> None:
    page = (site / "benchmarks" / "index.html").read_text(encoding="utf-8")
    plots = re.findall(r'<img[^>]* src="([^"]+\.png)"', page)
    assert plots
    assert all((site / "benchmarks" / plot).resolve().is_file() for plot in plots)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]+)"|@import url\((http[^)]+)')
    sheets = re.compile(r'<link[^>]* rel="?(?:stylesheet|preconnect)"?[^>]*href="(https?:[^"]+)"')
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not loads.search(html), page
        assert not sheets.search(html), page
