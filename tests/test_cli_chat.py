"""The command chat: what is told is kept, what is asked is answered and from where is named."""

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

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from agentmem.testing import tiny_reader
from agentmem_cli.conversation import HELP, asks, only_asks
from agentmem_cli.exits import ExitCode
from agentmem_cli.output import Output, safe
from tests.cli_support import ROOT, Cli

FACT = "My sister Marta lives in Porto."
QUESTION = "Where does my sister Marta live?"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it says makes no sense."""
    return tiny_reader("positions").save_pretrained(tmp_path_factory.mktemp("reader"))


class Chat:
    """Chats on one store, each a run of the command with lines typed into it."""

    def __init__(self, folder: Path, reader: Path) -> None:
        self.cli, self.reader = Cli(folder), reader

    def __call__(self, *lines: str, args: tuple[str, ...] = ()) -> str:
        typed = "".join(f"{line}\n" for line in lines)
        shown = self.cli.ok("chat", "--reader", self.reader, *args, input=typed)
        assert shown.startswith(HELP)
        return shown[len(HELP) :].lstrip("\n")


@pytest.fixture
def chat(tmp_path: Path, reader: Path) -> Chat:
    return Chat(tmp_path, reader)


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
        """Ctrl-C; again if it came before `input` listened, which is when Python loses it."""
        for _ in range(10):
            self.type("\x03")
            if select.select([self._master], [], [], 5)[0]:
                return

    def end(self) -> tuple[int, str]:
        """Exit code, and what came on the screen last."""
        self._read(lambda: False)
        os.close(self._master)
        return self._process.wait(timeout=60), self._seen

    def _read(self, enough: Callable[[], bool]) -> None:
        last = time.monotonic() + 120
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


def test_a_new_session_in_a_real_terminal_draws_on_the_last_one(
    tmp_path: Path, reader: Path
) -> None:
    cli = Cli(tmp_path)
    first = Terminal(cli, "chat", "--reader", reader)
    assert "/forget" in first.until_asked()
    first.type(f"{FACT}\n")
    assert "noted as #1" in first.until_asked()
    first.interrupt()
    code, last = first.end()
    assert (code, last.strip()) == (ExitCode.OK, "")

    second = Terminal(cli, "chat", "--reader", reader)
    second.until_asked()
    second.type(f"{QUESTION}\n")
    answered = second.until_asked()
    assert "Porto" not in answered.split("#1")[0]
    assert re.search(rf"#1  20\d\d-\d\d-\d\d  user: {re.escape(FACT)}\n", answered)
    second.type("/memories\n")
    assert FACT in second.until_asked()
    second.type("/forget 1\n")
    assert "forgot 1 memory: 1" in second.until_asked()
    second.type("/memories\n")
    assert FACT not in second.until_asked()
    second.type("\x04")  # Ctrl-D
    code, last = second.end()
    assert (code, last.strip()) == (ExitCode.OK, "")


def test_what_is_told_is_noted_and_what_is_asked_is_answered(chat: Chat) -> None:
    shown = chat(FACT, "", "I like green tea", QUESTION)
    noted, _, answer = shown.partition("noted as #2\n")
    assert noted == "noted as #1\n"
    said, *named = answer.split("\n  #")
    assert said.strip()
    assert [re.sub(r"\d{4}-\d\d-\d\d", "DAY", line.strip()) for line in named] == [
        f"1  DAY  user: {FACT}",
        "2  DAY  user: I like green tea",
    ]


def test_the_answer_is_the_one_that_ask_gives(chat: Chat) -> None:
    shown = chat(FACT, QUESTION).removeprefix("noted as #1\n")
    answer = chat.cli.json("ask", QUESTION, "--reader", chat.reader)["answer"]
    assert shown.split("\n  #1")[0] == safe(answer)


def test_the_same_told_again_is_known(chat: Chat) -> None:
    assert chat(FACT, FACT) == "noted as #1\nknown already, as #1\n"


def test_before_anything_is_told_nobody_makes_an_answer_up(chat: Chat) -> None:
    assert chat(QUESTION) == "no memory of that yet\n"


def test_a_bare_question_is_stored_but_not_read(chat: Chat) -> None:
    chat(FACT, QUESTION)
    shown = chat(QUESTION)
    assert "#1" in shown
    assert "#2" not in shown
    assert f"#2  {QUESTION}" in re.sub(r"\d{4}-.*?: ", "", chat("/memories"))
    told = chat.cli.json("ask", QUESTION, "--reader", chat.reader)
    assert [memory["id"] for memory in told["memories"]] == [1]
    # Whoever looks for it finds it all the same.
    assert [hit["id"] for hit in chat.cli.json("recall", QUESTION)["hits"]] == [2, 1]


def test_answers_are_not_stored(chat: Chat) -> None:
    chat(FACT, QUESTION, "I like green tea")
    assert chat.cli.ok("list", "--quiet").split() == ["1", "2", "3"]
    assert [chat.cli.json("show", id)["text"] for id in (1, 2, 3)] == [
        FACT,
        QUESTION,
        "I like green tea",
    ]


def test_many_memories_are_named_and_few_are_shown(chat: Chat) -> None:
    told = (f"Memory of tea, number {n}" for n in range(1, 7))
    shown = chat(*told, "How many teas?", args=("-k", "6"))
    ids = re.findall(r"#(\d+)", shown.split("noted as #6\n")[1])
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
    listed = shown.split("noted as #23\n")[1].splitlines()
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
        ("/remember me", "no command '/remember'"),
        ("\udcff\udcfe", "could not be decoded"),
    ],
)
def test_a_mistake_is_told_and_ends_nothing(chat: Chat, line: str, said: str) -> None:
    typed = f"{line}\n{FACT}\n".encode("utf-8", "surrogateescape")
    result = chat.cli.run("chat", "--reader", chat.reader, input=typed)
    assert result.exit_code == ExitCode.OK
    assert re.search(f"\nerror: .*{said}", result.stdout)
    assert result.stdout.endswith("\nnoted as #1\n")
    assert result.stderr == ""


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
def test_ctrl_c_stops_an_answer_and_not_the_chat(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    say, pieces = Output.say, []

    def say_and_interrupt(out: Output, text: Text, *, end: str = "\n") -> None:
        say(out, text, end=end)
        if end == "" and not pieces:
            pieces.append(text.plain)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Output, "say", say_and_interrupt)
    shown = chat(FACT, QUESTION, "I like green tea", "What do I like?")
    assert pieces
    assert f"{pieces[0]}\nstopped\nnoted as #3\n" in shown
    assert shown.rstrip().endswith(f"user: {FACT}")  # The next answer came.


def test_a_memory_cannot_steer_the_terminal(chat: Chat) -> None:
    assert "\x1b" not in chat("A \x1b[31mred\x07 word", "/memories", "Which word?")


def test_without_a_reader_no_store_is_made(chat: Chat) -> None:
    said = chat.cli.error(ExitCode.NOT_FOUND, "chat")
    assert "without a reader" in said
    assert not chat.cli.store.exists()


@pytest.mark.parametrize(
    ("line", "asking", "only"),
    [
        ("Where is it?", True, True),
        ("where is it", True, False),
        ("It is here, no?", True, True),
        ("I moved to Oslo. Where do I live?", True, False),
        ("When I was ten we moved to Oslo.", True, False),
        ("What's my name", True, False),
        ("Whatever you say.", False, False),
        ("I like tea.", False, False),
        ("Is that so", False, False),
    ],
)
def test_what_asks(line: str, asking: bool, only: bool) -> None:
    assert (asks(line), only_asks(line)) == (asking, only)


@given(st.text())
def test_what_only_asks_asks(line: str) -> None:
    assert asks(line) or not only_asks(line)
