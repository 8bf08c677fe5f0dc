"""What a process does that only serves."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import uvicorn

from agentmem import Memory
from agentmem.service.run import run
from agentmem.service.settings import Settings


def test_full_garbage_collections_leave_out_what_was_there_at_the_start(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []

    def serve(_: Any, sockets: Any) -> None:
        frozen.append(gc.get_freeze_count())

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    before = gc.get_freeze_count()
    urls: list[str] = []
    run(memory, Settings(), host="127.0.0.1", port=0, on_start=urls.append)
    assert frozen[0] > before
    assert urls[0].startswith("http://127.0.0.1:")
