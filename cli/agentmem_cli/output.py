"""Output of all commands: formatted for people, as JSON, or only the essentials.

Results go to standard output; notes, prompts and progress bars go to standard error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import typer
from rich.console import Console, RenderableType
from rich.text import Text

# Width of tables when the output is not a terminal.
_WIDTH = 160
# Of a terminal, and those that make it show letters in another order.
_BEYOND_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Bar(Protocol):
    """Updates a progress bar; ``total`` is None while unknown."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """Show that ``done`` of ``total`` is done."""


def safe(text: str) -> str:
    """A text without control characters, so that a memory cannot control the terminal."""
    return _CONTROLS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class Output:
    """Writes results in one of three formats, selected by the options of a command.

    Args:
        json: Write one JSON document, or one per line, and nothing else.
        quiet: Write only the essentials, without notes and progress bars.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._out = _console()
        self._err = _console(stderr=True)

    @property
    def colors(self) -> bool:
        """Whether differences can be shown in color."""
        return self._out.color_system is not None and not self._out.no_color

    def emit(
        self,
        *,
        json: Callable[[], Any],
        human: Callable[[], RenderableType],
        quiet: Callable[[], Iterable[str]],
        line: bool = False,
    ) -> None:
        """Write a result; only the selected format is computed.

        Args:
            json: Plain values.
            human: A Rich renderable, its texts passed through `safe`.
            quiet: Lines.
            line: The result is one of many and takes one line.
        """
        if self.json:
            self.write(_dump(json(), indent=None if line else 2) + "\n")
        elif self.quiet:
            for text in quiet():
                self.write(text + "\n")
        else:
            self._print(human(), cut=line)

    def write(self, text: str) -> None:
        """Write a text unchanged, as UTF-8 regardless of the locale."""
        typer.echo(text.encode("utf-8"), nl=False)

    def say(self, text: RenderableType, *, end: str = "\n") -> None:
        """Write a text of a conversation, already passed through `safe`."""
        self._out.print(text, end=end, soft_wrap=True)

    def note(self, text: str) -> None:
        """Write a note next to the result."""
        if not self.quiet:
            self._err.print(Text(safe(text), style="dim"), soft_wrap=True)

    def confirm(self, question: str) -> bool:
        """Prompt on standard error."""
        return typer.confirm(question, err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Bar]:
        """A progress bar, drawn only on a terminal."""
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.progress import TimeRemainingColumn as TimeColumn

        watched = self._err.is_terminal and not (self.json or self.quiet)
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        with Progress(
            *columns,
            TaskProgressColumn(),
            TimeColumn(),
            console=self._err,
            transient=True,
            disable=not watched,
        ) as shown:
            task = shown.add_task(label, total=None)

            def move(done: int, total: int | None, note: str = "") -> None:
                text = safe(f"{label} {note}".rstrip())
                shown.update(task, completed=done, total=total, description=text)

            yield move

    def _print(self, shown: RenderableType, *, cut: bool) -> None:
        if isinstance(shown, Text) and not shown.plain:
            return
        if not isinstance(shown, Text):
            self._out.print(shown)
        elif cut and self._out.is_terminal:
            self._out.print(shown, no_wrap=True, overflow="ellipsis")
        else:
            # Piped text keeps its own line breaks.
            self._out.print(shown, soft_wrap=not self._out.is_terminal)


def note_unknown_keys(keys: Iterable[str], out: Output) -> None:
    """Say which metadata keys of a filter no memory has."""
    if names := ", ".join(map(repr, keys)):
        out.note(f"no memory has the metadata key {names}")


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def _dump(value: Any, *, indent: int | None) -> str:
    dumped = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    # JSON allows them as they are, but a terminal obeys them, and the reader gets the same value.
    return _BEYOND_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", dumped)
