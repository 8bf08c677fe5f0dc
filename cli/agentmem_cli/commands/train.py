"""The commands that train the parts of a model bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agentmem_cli.options import JsonOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.views import facts

CorpusOption = Annotated[
    Path,
    typer.Option(
        "--corpus",
        exists=True,
        file_okay=False,
        metavar="DIR",
        help="Folder of the corpus files (.jsonl or .jsonl.zst).",
    ),
]
ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="The configuration of the run, a TOML file.",
    ),
]
RunsOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder in which the run's folder is created.")
]

Report = Callable[[int, dict[str, Any]], None]


def tokenizer(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files of the corpus folder.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")],
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", min=512, help="Number of tokens.")
    ] = 8192,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a byte-level BPE tokenizer, which is lossless for any Unicode text."""
    missing = [file for file in files if not (corpus / file).is_file()]
    if missing:
        raise typer.TyperException(f"{missing[0]!r} is not in {str(corpus)!r}")
    output = Output(json=json, quiet=quiet)
    with _packages(), output.progress("training the tokenizer") as bar:
        from agentmem.training.tokenizer import train_tokenizer

        def watched(texts: Iterable[str]) -> Iterator[str]:
            for done, text in enumerate(texts, start=1):
                bar(done, None, f"on {done:,} texts")
                yield text

        folder = train_tokenizer(
            [corpus / file for file in files], out, vocab_size=vocab_size, progress=watched
        )
    show_paths(output, {"tokenizer": folder})


def encoder(
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="Folder or name of a BERT-like sentence encoder."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="What the encoder is called.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Export a pretrained sentence encoder as a bundle's default embedder; nothing is trained."""
    output = Output(json=json, quiet=quiet)
    with _packages(), output.progress("exporting"):
        from agentmem.training.sentence_encoder.export import export_sentence_encoder

        folder = export_sentence_encoder(model, out, name=name)
    show_paths(output, {"encoder": folder})


def autoencoder(
    config: ConfigOption,
    corpus: CorpusOption,
    out: RunsOption = Path("runs"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the autoencoder; running the command again resumes from the last checkpoint."""
    from agentmem.training.autoencoder.config import RunConfig
    from agentmem.training.config import load_config

    output = Output(json=json, quiet=quiet)
    run = load_config(config, RunConfig)
    with _packages(), _resumable(output, "training the autoencoder") as reporting:
        from agentmem.training.autoencoder.train import train_autoencoder

        report = reporting(run.optimizer.steps, "accuracy")
        folder = train_autoencoder(run, corpus=corpus, out=out, report=report)
    show_paths(output, {"run": folder, "model": folder / "model", "curves": folder / "curves.png"})


def embedder(
    config: ConfigOption,
    corpus: CorpusOption,
    out: RunsOption = Path("runs"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the embedder; resumes like `train autoencoder`."""
    from agentmem.training.config import load_config
    from agentmem.training.embedder.config import EmbedderRunConfig

    output = Output(json=json, quiet=quiet)
    run = load_config(config, EmbedderRunConfig)
    with _packages(), _resumable(output, "training the embedder") as reporting:
        from agentmem.training.embedder.train import train_embedder

        report = reporting(run.optimizer.steps, "questions_per_s")
        folder = train_embedder(run, corpus=corpus, out=out, report=report)
    show_paths(output, {"run": folder, "model": folder / "model"})


def reranker(
    config: ConfigOption,
    corpus: CorpusOption,
    out: RunsOption = Path("runs"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the latent reranker; resumes like `train autoencoder`."""
    from agentmem.training.config import load_config
    from agentmem.training.reranker.config import RerankerConfig

    output = Output(json=json, quiet=quiet)
    run = load_config(config, RerankerConfig)
    with _packages(), _resumable(output, "training the reranker") as reporting:
        from agentmem.training.reranker.train import train_reranker

        report = reporting(run.optimizer.steps, "accuracy")
        folder = train_reranker(run, corpus=corpus, out=out, report=report)
    show_paths(output, {"run": folder, "model": folder / "model"})


def reader_data(
    config: ConfigOption,
    corpus: CorpusOption,
    language_model: Annotated[
        Path,
        typer.Option("--lm", exists=True, file_okay=False, help="Folder of the language model."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The npz file to write.")],
    notebooks: Annotated[
        Path | None,
        typer.Option(
            "--notebooks", exists=True, dir_okay=False, help="Notes of people, with questions."
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the exercises that a reader trains on, as one packed file."""
    from agentmem.models.reader.configuration import SYSTEM_PROMPT
    from agentmem.training.config import load_config
    from agentmem.training.reader.config import ReaderDataConfig

    output = Output(json=json, quiet=quiet)
    data = load_config(config, ReaderDataConfig)
    with _packages(), output.progress("making exercises") as bar:
        from agentmem.training.reader.pack import pack_exercises

        pack_exercises(
            data,
            corpus=corpus,
            language_model=language_model,
            system_prompt=SYSTEM_PROMPT,
            path=out,
            notebooks=notebooks,
            report=lambda done: bar(done, None, "exercises"),
        )
    show_paths(output, {"exercises": out})


def reader(
    config: ConfigOption,
    data: Annotated[
        list[Path],
        typer.Option("--data", exists=True, dir_okay=False, help="Packed exercises; repeatable."),
    ],
    dev: Annotated[
        Path, typer.Option("--dev", exists=True, dir_okay=False, help="To evaluate on.")
    ],
    out: RunsOption = Path("runs"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a reader's adapter; resumes like `train autoencoder`."""
    from agentmem.training.config import load_config
    from agentmem.training.reader.config import ReaderRunConfig

    output = Output(json=json, quiet=quiet)
    run = load_config(config, ReaderRunConfig)
    with _packages(), output.progress("training the reader") as bar:
        from agentmem.training.reader.train import train_reader

        def report(step: int, figures: dict[str, Any]) -> None:
            losses = ", ".join(f"{ratio}: {loss:.3f}" for ratio, loss in figures["loss"].items())
            bar(step, run.optimizer.steps, f"loss by ratio {losses}")

        folder = train_reader(run, data=data, dev=dev, out=out, report=report)
    show_paths(output, {"run": folder, "model": folder / "model"})


def show_paths(output: Output, results: Mapping[str, Path | str]) -> None:
    """Show where the results are; --quiet shows only the first.

    In distributed training, only the main process prints.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    plain = {name: str(value) for name, value in results.items()}
    output.emit(
        json=lambda: plain,
        human=lambda: facts(plain.items()),
        quiet=lambda: list(plain.values())[:1],
    )


def _packages() -> AbstractContextManager[None]:
    """Explain what to install if a package for training is missing."""
    from agentmem.models.extras import TRAIN, needs_extra

    return needs_extra(TRAIN, "training")


@contextmanager
def _resumable(output: Output, label: str) -> Iterator[Callable[[int, str], Report]]:
    """A progress bar over steps that shows the loss and one more figure."""
    with output.progress(label) as bar:

        def reporting(steps: int, figure: str) -> Report:
            def report(step: int, figures: dict[str, Any]) -> None:
                bar(step, steps, f"loss {figures['loss']:.3f}, {figure} {figures[figure]:.3f}")

            return report

        try:
            yield reporting
        except KeyboardInterrupt as error:
            error.add_note("running the command again resumes from the last checkpoint")
            raise
