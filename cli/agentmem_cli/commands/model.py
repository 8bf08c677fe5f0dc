"""The commands model show and model verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.exits import ExitCode
from agentmem_cli.options import JsonOption, ModelOption, QuietOption
from agentmem_cli.output import Output, safe
from agentmem_cli.register import command_group

if TYPE_CHECKING:
    from agentmem.models.bundle.inspect import BundleFacts


def show(model: ModelOption = None, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Show a model bundle: files, sizes, quantizations, training runs, figures.

    --quiet prints the fingerprint.
    """
    from agentmem.models.bundle.inspect import describe_bundle

    found = describe_bundle(model)
    Output(json=json, quiet=quiet).emit(
        json=found.to_dict,
        human=lambda: _facts(found),
        quiet=lambda: [found.fingerprint],
    )


def verify(model: ModelOption = None, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Compare every file with its hash, then encode and decode texts of many kinds.

    Exits with 7 if there are problems. --quiet prints only the problems.
    """
    from agentmem.models.bundle.inspect import check_bundle

    found = check_bundle(model)

    def human() -> Text:
        if found.ok:
            files, texts = (
                views.number(found.files, "file"),
                views.number(found.samples, "text"),
            )
            return Text(
                f"no problems: {found.name} ({found.fingerprint}), {files} match the manifest, "
                f"{texts} decoded byte for byte"
            )
        return Text(safe("\n".join([*found.faults, views.number(len(found.faults), "fault")])))

    Output(json=json, quiet=quiet).emit(
        json=found.to_dict, human=human, quiet=lambda: map(safe, found.faults)
    )
    if not found.ok:
        raise typer.Exit(ExitCode.DAMAGE)


def _facts(found: BundleFacts) -> Text:
    steps = (f"{name} {step:g}" for name, step in found.densities.items())
    vector = f"{found.tokens_per_vector * found.slot_dims} dims for {found.tokens_per_vector}"
    rows = [
        ("name", found.name),
        ("fingerprint", found.fingerprint),
        ("format", str(found.format)),
        ("vocabulary", f"{found.vocab_size:,} tokens"),
        ("vectors", f"{vector} tokens, {found.slot_dims} each"),
        ("quantizations", f"{', '.join(steps)} (quantization step, in int8 steps)"),
        ("chunks", f"{found.max_tokens} tokens at most"),
        ("embeddings", f"{found.key_dims} dims"),
    ]
    rows += [(part, f"{count:,} parameters") for part, count in found.parameters.items()]
    rows += [(f"run of {part}", run) for part, run in found.runs.items()]
    blocks = [views.facts(rows), _files(found)]
    if found.evaluation:
        blocks.append(views.facts(_figures(found.evaluation)))
    return Text("\n\n").join(blocks)


def _files(found: BundleFacts) -> Text:
    return views.facts(
        (file.path, f"{views.size(file.bytes):>10}  {file.sha256}") for file in found.files
    )


def _figures(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The leaves of nested figures, each with its path."""
    if isinstance(value, dict):
        return [row for name, part in value.items() for row in _figures(part, (*path, name))]
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return [(" / ".join(path), shown)]


app = command_group({"show": show, "verify": verify}, help="Show and verify a model bundle.")
