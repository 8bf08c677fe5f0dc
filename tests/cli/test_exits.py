"""Exit codes: every error becomes one line and its code, in one place."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agentmem import errors
from agentmem_cli.app import Root
from agentmem_cli.exits import ExitCode, exit_code


def all_kinds(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*map(all_kinds, kind.__subclasses__()))


def failing(error: BaseException) -> typer.Typer:
    """An app with the real boundary and one command, which fails."""
    app = typer.Typer(name="agentmem", cls=Root)

    @app.callback()
    def root(ctx: typer.Context, debug: bool = False) -> None:
        ctx.command.debug = debug  # type: ignore[attr-defined]

    @app.command()
    def fail() -> None:
        raise error

    return app


CASES = {
    "input": (errors.InputError("bad text"), ExitCode.INPUT),
    "filter": (errors.FilterError("unknown operator 'like'"), ExitCode.INPUT),
    "config": (errors.ConfigError("steps: 0"), ExitCode.INPUT),
    "id": (errors.UnknownIdError("no memory has id 7"), ExitCode.NOT_FOUND),
    "no store": (errors.StoreNotFoundError("nothing at 'x'"), ExitCode.NOT_FOUND),
    "no model": (errors.ModelNotFoundError("no bundle at 'x'"), ExitCode.NOT_FOUND),
    "busy": (errors.StoreBusyError("locked"), ExitCode.STORE),
    "read-only": (errors.StoreUnwritableError("read-only"), ExitCode.STORE),
    "no store of ours": (errors.NotAStoreError("holds other things"), ExitCode.STORE),
    "schema": (errors.SchemaVersionError("newer"), ExitCode.STORE),
    "other bundle": (errors.IncompatibleModelError("made by 'a'"), ExitCode.MODEL),
    "damaged bundle": (errors.ModelError("not the file"), ExitCode.MODEL),
    "damage": (errors.CorruptRecordError("memory 3 is damaged", id=3), ExitCode.DAMAGE),
    "extra": (errors.MissingExtraError("needs zstandard", extra="train"), ExitCode.EXTRA),
    "bug": (RuntimeError("what?"), ExitCode.UNEXPECTED),
    "interrupted": (KeyboardInterrupt(), ExitCode.INTERRUPTED),
}


@pytest.mark.parametrize(("error", "code"), CASES.values(), ids=CASES)
def test_an_error_is_one_line_and_a_code(error: BaseException, code: ExitCode) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert str(error) in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_error_of_ours_has_a_code_of_its_own_kind() -> None:
    for kind in all_kinds(errors.AgentMemError):
        bare = kind.__new__(kind)
        assert exit_code(bare) not in (ExitCode.OK, ExitCode.UNEXPECTED, ExitCode.USAGE)


def test_a_message_of_many_lines_and_controls_is_one_clean_line() -> None:
    error = errors.ConfigError("one\n  two\x1b[31m\r\nthree")
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.stderr == "error: one two\\x1b[31m three\n"


@pytest.mark.parametrize("kind", [errors.InputError, KeyboardInterrupt])
def test_notes_come_with_the_message(kind: type[BaseException]) -> None:
    error = kind("line 7")
    error.add_note("6 lines are in")
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.stderr.endswith("; 6 lines are in\n")
    assert result.stderr.count("\n") == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere") as caught:
        (tmp_path / "nowhere").read_bytes()
    result = CliRunner().invoke(failing(caught.value), ["fail"])
    assert result.exit_code == ExitCode.INPUT
    assert result.stderr == f"error: No such file or directory: {str(tmp_path / 'nowhere')!r}\n"


def test_debug_shows_where_an_error_comes_from() -> None:
    result = CliRunner().invoke(failing(RuntimeError("what?")), ["--debug", "fail"])
    assert result.exit_code == ExitCode.UNEXPECTED
    assert "Traceback" in result.stderr
    assert "in fail" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: unexpected RuntimeError: what?")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--nope"], "--nope"),
        (["nope"], "nope"),
        (["fail", "--nope"], "agentmem fail --help"),
        (["fail", "more"], "more"),
    ],
    ids=["root option", "command", "option", "argument"],
)
def test_wrong_usage_is_one_line(args: list[str], said: str) -> None:
    result = CliRunner().invoke(failing(RuntimeError()), args, prog_name="agentmem")
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_end_of_input_at_a_question_counts_as_interrupted() -> None:
    result = CliRunner().invoke(failing(EOFError()), ["fail"])
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "interrupted" in result.stderr
