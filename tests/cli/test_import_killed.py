"""An import that is killed at work on a terminal, and repeated: nothing twice, nothing missing."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chatgpt import ABOUT, export, shown
from tests.support.cli import ROOT, Cli

_ADDED = re.compile(r"([\d,]+) memories added")


def killed_at_work(cli: Cli, *args: Any, after: int) -> str:
    """Start a command on a real terminal, and kill it after some memories; what it showed."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentmem", *map(str, args)],
        env={
            **os.environ,
            **cli.environment,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli")),
            "TERM": "xterm-256color",
            "COLUMNS": "120",
        },
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    screen = ""
    try:
        while not any(int(one.replace(",", "")) > after for one in _ADDED.findall(screen)):
            assert process.poll() is None, screen
            if select.select([master], [], [], 0.1)[0]:
                screen += os.read(master, 65536).decode("utf-8", "replace")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)
    return screen


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(50, marks=pytest.mark.timeout(300)),
        pytest.param(1000, marks=pytest.mark.slow),
    ],
)
def test_an_import_that_was_killed_is_repeated(tmp_path: Path, count: int) -> None:
    cli = Cli(tmp_path / "cli")
    content = export(count)
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    total = cli.json("import", file, "--dry-run")["texts"]
    screen = killed_at_work(cli, "import", file, "--user", "ana", after=total // 5)
    assert "conversations.json" in screen
    assert "━" in screen  # the bar
    assert re.search(r"\d+%", screen)

    def stored() -> list[Any]:
        lines = cli.ok("list", "--limit", 0, "--json").splitlines()
        return [json.loads(line) for line in lines]

    before = len(stored())
    assert total // 5 < before < total
    done = cli.json("import", file, "--user", "ana")
    assert (done["duplicates"], done["memories"]) == (before, total - before)
    found = stored()
    assert sum(ABOUT in one["text"] for one in found) == 1
    assert len(found) == total
    for conversation in content:
        own = [one["text"] for one in found if one["session_id"] == conversation["id"]]
        assert own == shown(conversation)
    cli.ok("verify")
