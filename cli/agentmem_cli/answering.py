"""What answers in `ask` and `chat`: any language model, the reader on this machine, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from agentmem.errors import MissingExtraError, ModelNotFoundError
from agentmem_cli import views
from agentmem_cli.output import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentmem.chat.answerers import Answer, Answerer
    from agentmem.chat.reader import MemoryReader
    from agentmem.context.hits import Hit
    from agentmem.context.recall import Recall

# Memories shown below an answer; of the others only the ids are shown.
SHOWN = 3
# Of the best citation's share: what has less than this of it is not worth showing.
_NEAR_BEST = 0.5

LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="MODEL",
        help="Answer with openai:MODEL, anthropic:MODEL, ollama:MODEL or the URL of a server "
        "that speaks OpenAI's protocol, instead of the reader on this machine.",
    ),
]
ReadAsOption = Annotated[
    Literal["text", "states"] | None,
    typer.Option(
        "--read-as",
        help="How the reader on this machine reads: text, again for each question; or states, "
        "which are made of each memory once, and kept beside the store.",
    ),
]
RatioOption = Annotated[
    int | None,
    typer.Option(
        "--ratio",
        min=1,
        help="Tokens per state that is read of the memories, with --read-as states; default: 1, "
        "all. 4 takes a quarter of the bytes; above it, the question chooses among these.",
    ),
]
ReaderOption = Annotated[
    Path | None,
    typer.Option("--reader", metavar="DIR", help="Folder of a reader; default: the shipped one."),
]


class _Reader:
    """A reader that reads in one way."""

    def __init__(self, reader: MemoryReader, read_as: Literal["text", "states"]) -> None:
        self._reader = reader
        self._read_as: Literal["text", "states"] = read_as

    def answer(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        return self._reader.answer(question, hits, mode=self._read_as, on_text=on_text)


def open_answerer(
    llm: str | None,
    reader: Path | None,
    read_as: Literal["text", "states"] | None = None,
    ratio: int | None = None,
) -> tuple[Answerer | None, str]:
    """What answers, or None and how to get answers.

    Args:
        llm: The language model that answers instead of the reader on this machine.
        reader: Folder of the reader; None is the shipped one.
        read_as: How it reads; None is its default.
        ratio: Tokens per state that it reads of the memories; None is its default.

    Raises:
        BadParameter: ``read_as`` or ``ratio`` is given for a language model that is no reader, or
            ``ratio`` for a reader that does not read states.
        InputError: ``llm`` is malformed.
        AnswererError: ``llm`` needs an API key that is not set.
        ModelError: the reader is damaged.
        MissingExtraError: a reader is named, and torch or transformers is not installed.
    """
    given = {"--read-as": read_as, "--ratio": ratio}
    for option, value in given.items():
        if llm is not None and value is not None:
            raise typer.BadParameter(
                f"{option} {value} is for the reader on this machine, and --llm {llm} answers "
                f"instead of it: leave one of them out"
            )
    if ratio is not None and read_as != "states":
        raise typer.BadParameter(f"--ratio {ratio} is for states: add --read-as states")
    if llm is not None:
        from agentmem.chat.answerers import connect

        return connect(llm), ""
    from agentmem.chat.reader import MemoryReader

    try:
        loaded = MemoryReader.from_pretrained(reader, ratio=ratio or 1)
        return loaded if read_as is None else _Reader(loaded, read_as), ""
    except (MissingExtraError, ModelNotFoundError) as error:
        if reader is not None:
            raise
        return None, f"no answer, only the memories found: {error}, or name a model with --llm"


def show_found(found: Recall, most: int | None = None) -> RenderableType:
    """The memories found, best first and in full; says so if probably none of them fits."""
    shown = [views.named(hit, full=True) for hit in found[:most]]
    return Group(*shown) if found.relevance >= views.UNLIKELY else _closest(found, most)


def _closest(found: Recall, most: int | None) -> RenderableType:
    if not found:
        return Text("nothing found", style="dim")
    return Group(
        Text("not in memory, as far as I can tell; the closest memories:", style="dim"),
        *(views.named(hit, full=True) for hit in found[:most]),
    )


def show_answer(answer: Answer, found: Recall) -> RenderableType:
    """An answer with the memories it drew on, or the best memories where there is no answer."""
    by_id = {hit.id: hit for hit in found}
    if answer.text is None:
        return _closest(found, SHOWN)
    least = _NEAR_BEST * max((c.share for c in answer.citations), default=0.0)
    cited = [c for c in answer.citations if c.share >= least and c.id in by_id][:SHOWN]
    return Group(Text(safe(answer.text), style="bold"), *(views.named(by_id[c.id]) for c in cited))


def answer_to_dict(question: str, answer: Answer | None, found: Recall) -> dict[str, Any]:
    """An answer as JSON; its fields are None where nothing answers."""
    return {
        "question": question,
        "answer": answer.text if answer else None,
        "confidence": answer.confidence if answer else None,
        "relevance": found.relevance,
        "citations": [{"id": c.id, "share": c.share} for c in answer.citations] if answer else [],
        "memories": [hit.to_dict() for hit in found],
    }
