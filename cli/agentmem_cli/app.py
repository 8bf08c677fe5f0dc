"""The root command, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import MutableMapping
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from agentmem._version import __version__
from agentmem_cli.exits import ExitCode, epilog, exit_code
from agentmem_cli.lazy import LazyCommands
from agentmem_cli.output import safe

# Where each command is, in the order of the help.
COMMANDS = {
    "add": "change:add",
    "recall": "query:recall",
    "ask": "ask:ask",
    "chat": "chat:chat",
    "show": "query:show",
    "list": "query:list_memories",
    "forget": "change:forget",
    "gc": "change:gc",
    "update": "change:update",
    "supersede": "supersede:supersede",
    "history": "supersede:history",
    "conflicts": "supersede:conflicts",
    "users": "users:users",
    "sessions": "users:sessions",
    "dossier": "disclosing:dossier",
    "audit": "disclosing:audit",
    "certificate": "disclosing:certificate",
    "stats": "store:stats",
    "verify": "store:verify",
    "doctor": "store:doctor",
    "reindex": "store:reindex",
    "purge": "store:purge",
    "backup": "store:backup",
    "restore": "restore:restore",
    "rekey": "rekey:rekey",
    "increment": "increments:increment",
    "complete": "increments:complete",
    "migrate": "migrate:migrate",
    "export": "portable:export",
    "import": "importing:import_file",
    "watch": "watch:watch",
    "mcp": "mcp:mcp",
    "serve": "serve:serve",
    "model": "model:app",
    "reader": "reader:app",
    "train": "training:app",
    "eval": "evaluate:app",
}


class Root(TyperGroup):
    """Runs a command and converts any error to one line and an exit code."""

    debug = False

    def main(self, *args: Any, **extra: Any) -> Any:
        """Like `TyperGroup.main`, but handles all errors itself."""
        standalone = extra.pop("standalone_mode", True)
        extra["standalone_mode"] = False  # raise errors here instead of letting Typer print them
        try:
            code = super().main(*args, **extra) or ExitCode.OK
        except typer.TyperException as error:
            code = ExitCode.USAGE
            # Empty if help was requested, which has already been printed.
            if message := error.format_message():
                # Pydantic's words for what a parser of ours refuses.
                message = message.replace(": Value error, ", ": ")
                self._report(error, message + _see(error))
        except typer.Abort as error:
            code = ExitCode.INTERRUPTED
            self._report(error, "interrupted")
        except SystemExit:
            # Typer and Rich exit this way when the output pipe is closed, which is not a failure.
            code = ExitCode.OK
        except Exception as error:
            code = exit_code(error)
            self._report(error, _message(error, code))
        if standalone:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interruption keeps the notes that the command attached to it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            self._report(error, "interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from error

    def _report(self, error: BaseException, message: str) -> None:
        if self.debug:
            traceback.print_exception(error)
        notes = getattr(error, "__notes__", [])
        line = " ".join("; ".join([message, *notes]).split())
        typer.echo(f"error: {safe(line)}", err=True)


class LazyRoot(Root):
    """The root of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast("MutableMapping[str, Any]", LazyCommands(COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, without making the commands."""
        return list(self.commands)


def _message(error: Exception, code: ExitCode) -> str:
    if code is ExitCode.UNEXPECTED:
        return (
            f"unexpected {type(error).__name__}: {error} (perhaps a bug; `agentmem --debug ...` "
            "shows where)"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {str(error.filename)!r}"
    return str(error)


def _see(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context is not None else ""


app = typer.Typer(
    name="agentmem",
    cls=LazyRoot,
    pretty_exceptions_enable=False,
    epilog=epilog(),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentmem {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Long-term memory for agents: learned vectors that decode to the exact text.

    Everything happens on this machine: no network, no API key. Without a command, it shows what is
    in the store.
    """
    ctx.command.debug = debug  # type: ignore[attr-defined]
    if ctx.invoked_subcommand is None:
        from agentmem_cli.commands.overview import overview

        overview()
