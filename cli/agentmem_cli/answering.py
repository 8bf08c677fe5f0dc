"""From memories that were found to an answer that a reader wrote: what `ask` and `chat` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import ModelNotFoundError

if TYPE_CHECKING:
    from agentmem import MemoryReader
    from agentmem.memory import Memory
    from agentmem.recall.hits import Hit, Recall

# Decoder positions for memories, and tokens for those of a language model that reads text alone:
# fifty chunks as vectors, and room for the answer in a model that holds a thousand tokens.
POSITIONS = 768
# What marks a line of a chat that only asked something, and the filter that leaves such lines out:
# a question is most like itself, and answers nothing.
ASKED = "asked"
_NOT_ASKED = {ASKED: {"exists": False}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader said, and from what.

    Attributes:
        text: Its words; None if there were no memories to read.
        hits: The memories that it read, best first.
        as_text: Ids of those that it read as text; the others were vectors.
        left_out: How many were found and did not fit.
    """

    text: str | None
    hits: tuple[Hit, ...]
    as_text: frozenset[int] = frozenset()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Answerer:
    """A reader, or a language model that has not learned to read vectors and gets text."""

    reader: MemoryReader
    reads_vectors: bool

    def answer(
        self, question: str, found: Recall, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Let the reader answer from what was found."""
        if self.reads_vectors:
            packed = found.pack(max_positions=POSITIONS)
            as_text = frozenset(hit.id for hit in packed.texts)
        else:
            packed = found.pack(max_tokens=POSITIONS)
            as_text = frozenset(hit.id for hit in packed.hits)
        if not packed.hits:
            return Answer(None, (), left_out=packed.left_out)
        read = {hit.id for hit in packed.hits}
        if self.reads_vectors:
            said = self.reader.answer(question, packed, on_text=on_text)
        else:
            said = self.reader.answer(question, [], text=packed.to_text(), on_text=on_text)
        hits = tuple(hit for hit in found if hit.id in read)
        return Answer(said, hits, as_text, packed.left_out)


def open_answerer(folder: Path | None, model: Path | None) -> Answerer:
    """The reader in a folder, or the one of the model bundle.

    A folder that holds a language model and no reader will do: it gets the memories as text.

    Raises:
        ModelNotFoundError: there is none.
        ModelError: it reads the memories of another bundle, or is damaged.
    """
    from agentmem import MemoryReader, ReaderConfig

    bundle = None if model is None else str(model)
    if folder is not None and _is_bare(folder):
        config = ReaderConfig(route="positions", adapter="linear")
        return Answerer(MemoryReader.from_causal_lm(folder, bundle, config=config), False)
    try:
        return Answerer(MemoryReader.from_pretrained(folder, bundle), True)
    except ModelNotFoundError as error:
        if folder is None:
            error.add_note("--reader names the folder of a reader or of a language model")
        raise


def find(memory: Memory, question: str, *, where: Mapping[str, Any] | None, **how: Any) -> Recall:
    """What a memory has on a question, without lines of a chat that only asked."""
    told = _NOT_ASKED if where is None else {"and": [where, _NOT_ASKED]}
    return memory.recall(question, where=told, **how)


def _is_bare(folder: Path) -> bool:
    return (folder / "config.json").is_file() and not (folder / "reader.json").is_file()
