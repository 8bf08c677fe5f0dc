"""A reader for hits: a language model on this machine that answers from memories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agentmem.context.format import reader_line
from agentmem.context.hits import Hit
from agentmem.errors import InputError
from agentmem.models.bundle.manifest import READER, bundled_part, shipped_bundle

if TYPE_CHECKING:
    from agentmem.models.reader.reader import StatesReader


@dataclass(frozen=True, slots=True)
class Citation:
    """A memory that an answer drew on.

    Attributes:
        id: The memory's id.
        share: How much of the answer, 0 to 1; the shares of an answer sum to 1.
    """

    id: int
    share: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered from memories.

    Attributes:
        text: The answer; None if the memories do not hold one.
        confidence: How sure the model was, 0 to 1: of an answer, that the memories hold one; where
            the text is None, that they do not, which is low where an answer was withheld. None if
            the model does not tell.
        citations: The memories it drew on, most first.
        left_out: How many hits did not fit.
    """

    text: str | None
    confidence: float | None
    citations: tuple[Citation, ...]
    left_out: int = 0


class MemoryReader:
    """A small language model on this machine that answers from memories.

    ::

        reader = MemoryReader.from_pretrained()      # once: agentmem reader install smollm2
        reader.answer("which seat is mine?", mem.recall("which seat is mine?", user_id="ana")).text
    """

    def __init__(self, states: StatesReader) -> None:
        self._states = states

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, *, language_model: str | Path | None = None
    ) -> MemoryReader:
        """Load a reader.

        Args:
            folder: Its adapter; None means the one that comes with the package.
            language_model: Folder of the language model; None looks for the one that the adapter
                was trained with.

        Raises:
            ModelNotFoundError: there is no adapter, or the language model is not on this machine;
                the message says how to get it.
            ModelError: one of them is damaged, or they do not belong together.
        """
        from agentmem.models.reader.language_model import find_language_model
        from agentmem.models.reader.reader import StatesReader
        from agentmem.models.reader.saving import load_config

        place = bundled_part(shipped_bundle(), READER) if folder is None else Path(folder)
        if language_model is None:
            language_model = find_language_model(load_config(place).language_model)
        return cls(StatesReader.from_pretrained(place, language_model))

    def answer(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        mode: Literal["text", "states"] = "text",
        max_tokens: int = 48,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a question from hits, which are read in the order of time.

        Args:
            question: In plain words.
            hits: What a recall found, best first. Those that do not fit into the language model's
                context beside better ones are left out.
            mode: ``"text"`` reads the memories' text again for each question, which answers best;
                ``"states"`` reads the states that the model made of each memory by itself and
                keeps between questions, which saves that pass and answers less well. In either, a
                memory takes one position for each token of the language model.
            max_tokens: The longest answer, in tokens of the language model.
            on_text: Called with each piece of the answer as it is written; never where there is
                none.

        Raises:
            InputError: the question is empty, or the mode is unknown.
            CorruptRecordError: a hit is damaged.
        """
        if not question.strip():
            raise InputError("an empty question: ask something")
        read: list[tuple[Hit, str]] = []
        room = self._states.room(question, max_tokens=max_tokens)
        for hit in hits:
            line = reader_line(hit)
            tokens = self._states.count_tokens(line)
            if tokens <= room:
                room -= tokens
                read.append((hit, line))
        left_out = len(hits) - len(read)
        if not read:
            return Answer(None, None, (), left_out)
        read.sort(key=lambda pair: _when(pair[0]))
        reading = self._states.read(
            question,
            [line for _, line in read],
            mode=mode,
            max_tokens=max_tokens,
            on_text=on_text,
        )
        shares = {
            hit.id: share for (hit, _), share in zip(read, reading.shares, strict=True) if share
        }
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        citations = tuple(Citation(id, share) for id, share in ranked) if reading.text else ()
        return Answer(reading.text, reading.confidence, citations, left_out)


def memory_lines(hits: Sequence[Hit]) -> tuple[str, ...]:
    """Hits as a reader sees them, in the order of time."""
    return tuple(reader_line(hit) for hit in sorted(hits, key=_when))


def _when(hit: Hit) -> tuple[datetime, int]:
    return hit.created_at, hit.id
