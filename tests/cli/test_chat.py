"""The command chat: statements are stored, and questions are answered from memory."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory, Recall
from agentmem_cli.conversation import HELP
from agentmem_cli.exits import ExitCode
from tests.support.cli import ROOT, Cli
from tests.support.llm import fake_llm

FACT = "My sister Marta lives in Porto."
QUESTION = "Where does my sister Marta live?"


class Chat:
    """Chats on one store, each a run of the command with lines typed into it."""

    def __init__(self, folder: Path) -> None:
        self.cli = Cli(folder)

    def __call__(self, *lines: str, args: tuple[str, ...] = ()) -> str:
        typed = "".join(f"{line}\n" for line in lines)
        shown = self.cli.ok("chat", *args, input=typed)
        assert shown.startswith(HELP)
        return shown[len(HELP) :].lstrip("\n")


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    return Chat(tmp_path)


class Terminal:
    """A process whose controlling terminal is a real one, and what is on its screen."""

    # What runs the tests may ignore Ctrl-C, and its children would too.
    _TAKE = (
        "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "os.execv(sys.executable, [sys.executable, '-m', 'agentmem', *sys.argv[1:]])"
    )

    def __init__(self, cli: Cli, *args: object) -> None:
        self._master, slave = pty.openpty()
        paths = os.pathsep.join(str(ROOT / part) for part in (".", "storage", "cli"))
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._TAKE, *map(str, args)],
            env={**os.environ, **cli.environment, "PYTHONPATH": paths, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = ""

    def until_asked(self) -> str:
        """What comes on the screen until the prompt stands there."""
        self._read(lambda: self._seen.endswith("\n> "))
        seen, self._seen = self._seen, ""
        return seen

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, once `input` waits for a key: what comes before that, Python loses.

        It may be lost all the same where nobody says whether a process waits; hence once more.
        """
        status = Path(f"/proc/{self._process.pid}/stat")
        while status.exists() and status.read_text().rpartition(") ")[2][0] != "S":
            time.sleep(0.01)
        for _ in range(4):
            self.type("\x03")
            if select.select([self._master], [], [], 60)[0]:
                return

    def end(self) -> tuple[int, str]:
        """Exit code, and what came on the screen last."""
        self._read(lambda: False)
        os.close(self._master)
        return self._process.wait(timeout=240), self._seen

    def _read(self, enough: Callable[[], bool]) -> None:
        last = time.monotonic() + 240
        while not enough():
            if not select.select([self._master], [], [], max(0, last - time.monotonic()))[0]:
                self._process.kill()
                self._process.wait()
                pytest.fail(f"nothing more came after {self._seen!r}")
            try:
                data = os.read(self._master, 65536)
            except OSError:  # So Linux says that nobody holds the other end any more.
                return
            text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", data.decode(errors="replace"))
            self._seen += text


def test_a_session_in_a_real_terminal_draws_on_the_last_one(tmp_path: Path) -> None:
    chat = Chat(tmp_path)
    assert chat(FACT) == "stored as #1\n"
    terminal = Terminal(chat.cli, "chat")
    shown = terminal.until_asked()
    assert "/forget" in shown
    assert "no answer, only the memories found" in shown
    terminal.type("I like green tea\n")
    assert "stored as #2" in terminal.until_asked()
    terminal.type(f"{QUESTION}\n")
    answered = terminal.until_asked()
    assert re.search(rf"#1  20\d\d-\d\d-\d\d  user: {re.escape(FACT)}\n", answered)
    terminal.type("/memories\n")
    assert FACT in terminal.until_asked()
    terminal.type("/forget 1\n")
    assert "forgot 1 memory: 1" in terminal.until_asked()
    terminal.type("/memories\n")
    assert FACT not in terminal.until_asked()
    terminal.interrupt()
    code, last = terminal.end()
    assert (code, last.strip()) == (ExitCode.OK, "")


def test_ctrl_d_ends_a_session_in_a_real_terminal(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, shown = chat.cli.terminal(monkeypatch, "chat", typed=b"\x04")
    assert code == ExitCode.OK
    assert shown.rstrip().endswith(">")


def test_statements_are_stored_and_questions_are_answered(chat: Chat) -> None:
    shown = chat(FACT, "", "I like green tea", QUESTION, QUESTION)
    noted, _, found = shown.partition("stored as #2\n")
    assert noted == "stored as #1\n"
    memories = [f"#1  DAY  user: {FACT}", "#2  DAY  user: I like green tea"]
    lines = [re.sub(r"\d{4}-\d\d-\d\d", "DAY", line.strip()) for line in found.splitlines()]
    assert lines == [*memories, *memories]


def test_a_repeated_statement_is_recognized(chat: Chat) -> None:
    assert chat(FACT, FACT) == "stored as #1\nalready known as #1\n"


def test_an_empty_memory_has_nothing_to_show(chat: Chat) -> None:
    assert chat(QUESTION) == "no memory of that yet\n"


def test_a_bare_question_is_stored_but_not_read(chat: Chat) -> None:
    chat(FACT, QUESTION)
    shown = chat(QUESTION)
    assert "#1" in shown
    assert "#2" not in shown
    assert f"#2  {QUESTION}" in re.sub(r"\d{4}-.*?: ", "", chat("/memories"))
    output = chat.cli.json("ask", QUESTION)
    assert [memory["id"] for memory in output["memories"]] == [1]
    # Whoever looks for it finds it all the same.
    assert [hit["id"] for hit in chat.cli.json("recall", QUESTION)["hits"]] == [2, 1]


def test_what_is_shown_is_not_stored(chat: Chat) -> None:
    chat(FACT, QUESTION, "I like green tea")
    assert chat.cli.ok("list", "--quiet").split() == ["1", "2", "3"]
    assert [chat.cli.json("show", id)["text"] for id in (1, 2, 3)] == [
        FACT,
        QUESTION,
        "I like green tea",
    ]


def test_many_memories_are_named_and_few_are_shown(chat: Chat) -> None:
    statements = (f"Memory of tea, number {n}" for n in range(1, 7))
    shown = chat(*statements, "How many teas?", args=("-k", "6"))
    ids = re.findall(r"#(\d+)", shown.split("stored as #6\n")[1])
    assert sorted(ids) == list("123456")
    assert shown.count("Memory of tea") == 3
    few = chat("How many teas, again?", args=("-k", "2"))
    assert len(re.findall(r"#\d", few)) == 2


def test_a_scope_is_kept_to(chat: Chat) -> None:
    chat(FACT, args=("--user", "ana"))
    shown = chat(QUESTION, "/memories", "/forget 1", args=("--user", "bob"))
    first, listed, refused = shown.splitlines()
    assert first == "no memory of that yet"
    assert listed.endswith(f"user: {QUESTION}")
    assert refused == "error: no memory of this scope has the id 1"
    assert FACT in chat(QUESTION, args=("--user", "ana"))


def test_the_newest_memories_are_listed_and_the_others_counted(chat: Chat) -> None:
    shown = chat("/memories", *(f"This is number {n}." for n in range(1, 24)), "/memories")
    assert shown.startswith("no memories yet\n")
    listed = shown.split("stored as #23\n")[1].splitlines()
    assert [line.split()[0] for line in listed[:-1]] == [f"#{n}" for n in range(4, 24)]
    assert listed[-1].strip() == "3 older ones: `agentmem list` shows all"


def test_a_long_memory_is_shown_by_its_beginning(chat: Chat) -> None:
    _, line = chat("Well, " * 20 + "the end.", "/memories").splitlines()
    assert len(line) < 120
    assert line.endswith("…")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/forget", "takes ids"),
        ("/forget tea", "takes ids"),
        ("/forget 7", "no memory of this scope has the id 7"),
        ("/remember me", "unknown command '/remember'"),
        ("\udcff\udcfe", "could not be decoded"),
    ],
)
def test_an_error_is_reported_and_the_chat_goes_on(chat: Chat, line: str, said: str) -> None:
    typed = f"{line}\n{FACT}\n".encode("utf-8", "surrogateescape")
    result = chat.cli.run("chat", input=typed)
    assert result.exit_code == ExitCode.OK
    assert re.search(f"\nerror: .*{said}", result.stdout)
    assert result.stdout.endswith("\nstored as #1\n")
    # That nothing answers, and how to get answers; nothing else.
    assert result.stderr.startswith("no answer, only the memories found")
    assert result.stderr.count("\n") == 1


def test_quit_with_something_after_it_does_not(chat: Chat) -> None:
    shown = chat("/quit now", FACT)
    assert "/quit takes nothing after it" in shown
    assert "stored as #1" in shown


def test_a_request_is_answered_and_not_stored_as_a_fact(chat: Chat) -> None:
    shown = chat(FACT, "Tell me where Marta lives")
    assert shown.count(FACT) == 1
    assert "#2" not in shown


def test_quit_ends_it_before_what_follows(chat: Chat) -> None:
    assert chat("/quit", FACT) == ""
    assert chat("/help", "/memories") == f"{HELP}\nno memories yet\n"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What runs the tests may ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_a_search_and_not_the_chat(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, calls = Memory.recall, []

    def recall_and_interrupt(*args: Any, **how: Any) -> Recall:
        calls.append(args)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return recall(*args, **how)

    monkeypatch.setattr(Memory, "recall", recall_and_interrupt)
    shown = chat(FACT, QUESTION, "I like green tea", "Where does Marta live?")
    assert "\ncancelled\nstored as #2\n" in shown
    assert f"user: {FACT}" in shown  # The next question was looked up.


def test_a_memory_cannot_steer_the_terminal(chat: Chat) -> None:
    assert "\x1b" not in chat("A \x1b[31mred\x07 word", "/memories", "Which word?")


def test_a_language_model_answers(chat: Chat) -> None:
    with fake_llm() as server:
        server.text = "In Porto [#1]."
        server.keyless = True
        shown = chat(FACT, QUESTION, args=("--llm", f"{server.url}#tiny"))
    assert "In Porto" in shown
    assert re.search(rf"#1  20\d\d-\d\d-\d\d  user: {re.escape(FACT)}", shown)
