"""The examples and the demo run, with the shipped models."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from agentmem import Memory

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run_example(name: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    argv = sys.argv
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = argv
    return capsys.readouterr().out


def test_quickstart(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_example("quickstart.py", capsys)
    assert "I booked the 9:40 train to Lyon, seat 23A." in shown
    assert "<memories-" in shown


def test_documents(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_bytes("# Décisions\r\n\r\nWe ship on Friday. The key is under the mat.\r\n".encode())
    shown = run_example("documents.py", capsys, str(file), "where is the key?")
    assert "under the mat" in shown


def test_chat_loop_remembers(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_example("chat_loop.py", capsys)
    assert "bot: You told me: My sister Marta lives in Porto." in shown


def test_chat_loop_does_not_store_what_it_recalled() -> None:
    chat = runpy.run_path(str(EXAMPLES / "chat_loop.py"))
    with Memory(":memory:") as memory:
        for line in ("I am vegan.", "What do I eat?", "What do I eat, again?"):
            chat["reply"](memory.session(), chat["parrot"], line)
        assert not [chunk.text for chunk in memory.list() if "<memories" in chunk.text]


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_example("demo.py", capsys)
    assert "Equal to the original: True" in shown
    assert "44 of 44 byte for byte" in shown
    assert re.search(r"decoder positions.*x fewer", shown)
