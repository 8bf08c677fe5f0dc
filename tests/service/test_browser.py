"""The page in a real browser, where there is one: nothing of it is refused, nothing fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agentmem import Memory
from tests.support.service import running

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


def browse(url: str, folder: Path) -> tuple[str, str]:
    """What a page consists of once its script has run, and what the browser has to say about it."""
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", f"--user-data-dir={folder}", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(said)


@pytest.mark.parametrize("view", ["/", "/memories", "/memories/1", "/search?q=tea", "/map"])
def test_a_browser_takes_all_of_the_page(memory: Memory, tmp_path: Path, view: str) -> None:
    memory.add(["I like tea.", "<script>document.title = 'taken'</script>"], user_id="ana")
    with running(memory) as url:
        shown, said = browse(url + view, tmp_path / "browser")
    assert said == ""
    assert "agentmem</title>" in shown
    assert "taken</title>" not in shown


def test_the_browser_says_what_it_refuses(tmp_path: Path) -> None:
    """So that the test above can fail."""
    page = tmp_path / "page.html"
    page.write_text(
        "<meta http-equiv='Content-Security-Policy' content=\"script-src 'self'\">"
        "<script>document.title = 'taken'</script>",
        encoding="utf-8",
    )
    shown, said = browse(page.as_uri(), tmp_path / "browser")
    assert "Content Security Policy" in said
    assert "taken" not in shown.partition("<script>")[0]
