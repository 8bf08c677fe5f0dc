"""Completion in a shell, asked as the script of the shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def asked(**variables: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "agentmem"],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("agentmem reca", ["recall"]),
        ("agentmem recall --wh", ["--where"]),
        ("agentmem model sh", ["show"]),
    ],
)
def test_commands_and_options_are_completed(words: str, expected: list[str]) -> None:
    shown = asked(
        _AGENTMEM_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert shown.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str) -> None:
    assert f"complete_{shell} " in asked(_AGENTMEM_COMPLETE=f"source_{shell}")


def test_it_can_be_installed() -> None:
    command = [sys.executable, "-m", "agentmem", "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--install-completion" in shown
