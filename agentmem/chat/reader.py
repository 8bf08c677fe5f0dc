"""`MemoryReader`: a language model on this machine that answers questions from hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentmem.chat.asking import check_request
from agentmem.chat.citing import Citation, Line, cite
from agentmem.chat.states_cache import StoreStatesCache
from agentmem.context.format import reader_line
from agentmem.context.hits import Hit
from agentmem.errors import InputError
from agentmem.models import extras
from agentmem.models.bundle.manifest import READER, bundled_part, shipped_bundle
from agentmem.models.extras import needs_extra

if TYPE_CHECKING:
    from agentmem.context.full_scope import FullScope
    from agentmem.models.reader.reader import Mode, Reading, StatesReader
    from agentmem.models.reader.states_cache import StatesCache

# The most that are read once more, as text.
FALLBACK_HITS = 8
# In tokens of the language model. A longer text drowns the memories, and is answered from itself.
LONGEST_QUESTION = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer from memories, or the finding that they contain none.

    Attributes:
        text: The answer; None if the memories do not contain one.
        confidence: Probability, 0 to 1, that the memories contain an answer; if ``text`` is None,
            that they do not, which is low for an answer that was withheld. None if the model
            gives no probabilities.
        citations: The memories it drew on, by descending share.
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
        """Wrap a reader of lines.

        Args:
            states: The reader; it stays as `states`.
        """
        self.states = states

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | None = None,
        *,
        language_model: str | Path | None = None,
        ratio: int = 1,
    ) -> MemoryReader:
        """Load a reader.

        Args:
            folder: Folder of the adapter; None means the one in the package.
            language_model: Folder of the language model; None looks for the one that the adapter
                was trained with.
            ratio: For ``mode="states"``: tokens per state that is read of the memories, as a mean
                over them and the model's layers and heads. 1 keeps and reads all; 4 the quarter of
                each memory that matters most, in a quarter of the bytes. At a higher ratio that
                quarter is kept, and the question chooses what is read of it.

        Raises:
            InputError: the ratio is below 1.
            ModelNotFoundError: there is no adapter, or the language model is not on this machine;
                the message says how to get it.
            ModelError: one of them is damaged, or they do not belong together.
            MissingExtraError: torch or transformers is not installed.
        """
        with needs_extra(extras.READER, "the reader"):
            from agentmem.models.reader.language_model import find_language_model
            from agentmem.models.reader.reader import StatesReader
            from agentmem.models.reader.saving import load_config

        adapter = bundled_part(shipped_bundle(), READER) if folder is None else Path(folder)
        if language_model is None:
            language_model = find_language_model(load_config(adapter).language_model)
        return cls(StatesReader.from_pretrained(adapter, language_model, ratio=ratio))

    def answer(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        mode: Literal["text", "states"] = "text",
        fallback: Literal["text"] | None = None,
        max_tokens: int = 48,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a question from hits, which are read in chronological order.

        Args:
            question: In plain words.
            hits: Results of a recall, best first. Those that do not fit into the language model's
                context after better ones are left out.
            mode: ``"text"`` reads the memories' text again for each question, and is the more
                accurate; ``"states"`` reads keys and values that were computed for each memory by
                itself and are kept between questions, which saves that pass: in a file beside the
                store that ``hits`` are from, if they are a `Recall`, see `Memory.prepare`;
                otherwise, and what finds no room there, in this process. In either mode a memory
                takes one position per token of the language model.
            fallback: ``"text"``: where no answer is given from states, the best `FALLBACK_HITS`
                hits are read once more as text, and if that gives an answer, it counts.
            max_tokens: Maximum length of the answer, in tokens of the language model.
            on_text: Called with each piece of the answer as it is generated; never called if
                there is no answer.

        Raises:
            InputError: the question is blank, not valid Unicode or longer than
                `LONGEST_QUESTION`, the mode or fallback is unknown, or there is a fallback from
                text.
            TypeError: the question is no string, or ``hits`` are no hits.
            CorruptRecordError: a hit is damaged.
        """
        check_request(question, hits)
        if fallback not in (None, "text"):
            raise InputError(f"unknown fallback {fallback!r}: 'text' or None")
        if fallback is not None and mode != "states":
            raise InputError(
                f"fallback={fallback!r} is for mode='states': with mode={mode!r}, leave it out"
            )
        self._check_length(question)
        included: list[Line] = []
        room = self.states.room(question, max_tokens=max_tokens)
        for hit in hits:
            line = reader_line(hit)
            tokens = self.states.count_tokens(line)
            if tokens <= room:
                room -= tokens
                included.append((hit, line))
        left_out = len(hits) - len(included)
        if not included:
            return Answer(None, None, (), left_out)
        # Only what a recall returned, and not a part of it or a copy, says where it is from.
        full_scope: FullScope | None = getattr(hits, "full_scope", None)

        def read(lines: Sequence[Line], mode: Mode) -> tuple[Reading, list[Line]]:
            ranked = sorted(enumerate(lines), key=lambda pair: pair[1][0].order)
            in_order = [line for _, line in ranked]
            cache: StatesCache | None = None
            if full_scope is not None:
                cache = StoreStatesCache(full_scope.store, [hit for hit, _ in in_order])
            texts = [line for _, line in in_order]
            options: dict[str, Any] = {"max_tokens": max_tokens, "on_text": on_text}
            options |= {"cache": cache, "ranks": [rank for rank, _ in ranked]}
            return self.states.read(question, texts, mode=mode, **options), in_order

        reading, shown = read(included, mode)
        if reading.text is None and fallback == "text":
            # Nothing has been given to on_text yet.
            second, best = read(included[:FALLBACK_HITS], "text")
            if second.text is not None:
                reading, shown = second, best
        citations = cite(reading.text, shown, reading.shares) if reading.text else ()
        return Answer(reading.text, reading.confidence, citations, left_out)

    def _check_length(self, question: str) -> None:
        tokens = self.states.count_tokens(question)
        if tokens > LONGEST_QUESTION:
            raise InputError(
                f"the question takes {tokens:,} tokens, and a reader takes one of up to "
                f"{LONGEST_QUESTION:,}: ask it in fewer words, and store the rest as a memory"
            )


def memory_lines(hits: Sequence[Hit]) -> tuple[str, ...]:
    """Hits as a reader sees them, in chronological order."""
    return tuple(reader_line(hit) for hit in sorted(hits, key=lambda hit: hit.order))
