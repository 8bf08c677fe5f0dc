"""Filling a budget with hits, in an order that reads well.

A context can be taken in two ways. For a chat API it is text, all of it (`Context.to_text`,
`Context.to_messages`). For a reader it is mixed: memory vectors for the many, exact text for the
few whose vectors say too little, or that matter most. Then

- a hit goes in as vectors, one position each;
- a hit whose vectors alone regenerate less than `MIN_FIDELITY` of its tokens goes in as text, one
  position per token, or not at all;
- the ``texts`` best hits go in as text too, or as vectors where their text does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InputError
from agentmem.models.base import MIN_FIDELITY
from agentmem.recall.hits import Hit, Recall

if TYPE_CHECKING:
    from torch import Tensor

    from agentmem.models.reader.reader import MemoryReader

# Marks recalled text in a prompt, so that a model (and an observer of the chat) can tell it from
# what was said now.
OPENING, CLOSING = "<memories>", "</memories>"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Hits that fit a budget, oldest first.

    ::

        context = hits.pack(max_positions=256, texts=2)
        reader.answer("when is my train?", context)

    Attributes:
        vectors: Hits that a reader gets as memory vectors.
        texts: Hits that it gets as text.
        left_out: How many hits did not fit.
        tokens: Tokens of the hits' texts.
        positions: Decoder positions of `latents` and of `text`, by the bundle's tokenizer. The
            separators that a reader puts between memories come on top.
    """

    vectors: tuple[Hit, ...]
    texts: tuple[Hit, ...]
    left_out: int
    tokens: int
    positions: int

    @property
    def hits(self) -> tuple[Hit, ...]:
        """What is in it."""
        return tuple(sorted((*self.vectors, *self.texts), key=_when))

    def to_text(self) -> str:
        """The exact texts, one block, each with its date and speaker; "" if there are none."""
        return _block([_line(hit) for hit in self.hits])

    def to_messages(
        self, format: Literal["openai", "anthropic"] = "openai"
    ) -> list[dict[str, Any]]:
        """The block as messages to put before a chat; none if there are no hits.

        OpenAI-style chats get a system message. Anthropic's have no such role among the messages:
        they get a user message with one text block.
        """
        if format not in ("openai", "anthropic"):
            raise InputError(f"unknown format {format!r}: 'openai' or 'anthropic'")
        text = self.to_text()
        if not text:
            return []
        if format == "openai":
            return [{"role": "system", "content": text}]
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]

    @property
    def latents(self) -> NDArray[np.int8]:
        """The memory vectors of `vectors`, int8 (M, D)."""
        if not self.vectors:
            return np.zeros((0, 0), dtype=np.int8)
        return np.concatenate([hit.latents for hit in self.vectors])

    @property
    def text(self) -> str:
        """What a reader gets as text, each with its date and speaker; "" if there is none."""
        return _lines(self.texts)

    def to_embeds(self, reader: MemoryReader, prompt: str = "") -> tuple[Tensor, Tensor]:
        r"""Input embeddings for a reader's language model: vectors, then text, then a prompt.

        ::

            embeds, mask = context.to_embeds(reader, "Question: when is my train?\nAnswer:")
            lm.generate(inputs_embeds=embeds, attention_mask=mask)

        Args:
            reader: One that takes memories by the route ``"positions"``.
            prompt: What comes last, in plain words; the language model goes on from there.

        Returns:
            Embeddings float (1, P, H), and their mask int64 (1, P), all ones.

        Raises:
            InputError: ``reader`` is no reader, or takes memories by slot attention; or there is
                nothing to read.
        """
        from agentmem.models.reader.reader import MemoryReader

        if not isinstance(reader, MemoryReader):
            raise InputError(
                f"{type(reader).__name__} has not learned to read memory vectors: put "
                f"MemoryReader.from_causal_lm(lm, config=ReaderConfig(route='positions')) around "
                f"a language model and train it, or give it context.to_text()"
            )
        return reader.embeds(self, prompt=prompt)

    def to_prompt_embeds(self, reader: MemoryReader, prompt: str = "") -> str:
        """`to_embeds` as vLLM takes a prompt: the request's ``prompt_embeds``.

        The server holds the reader's language model and applies no template: the prompt is whole.

        Args:
            reader: As in `to_embeds`.
            prompt: Likewise.

        Returns:
            The tensor (P, H) as `torch.save` writes it, in base64.

        Raises:
            InputError: as in `to_embeds`.
        """
        embeds, _ = self.to_embeds(reader, prompt)
        from agentmem.models.reader.export import to_base64

        return to_base64(embeds)


def pack(
    recall: Recall,
    *,
    max_tokens: int | None = None,
    max_positions: int | None = None,
    texts: int = 0,
) -> Context:
    """Take hits in order of score while they fit; then put them in the order they were said.

    A hit that does not fit is passed over, and smaller ones behind it may still go in.

    Args:
        recall: What was found.
        max_tokens: Budget for `Context.to_text`, in tokens of the bundle's tokenizer.
        max_positions: Budget for `Context.latents` and `Context.text`, in decoder positions.
        texts: How many of the best hits a reader gets as text whatever their fidelity.

    Raises:
        InputError: no budget, one that is not positive, or a negative number of texts.
    """
    if max_tokens is None and max_positions is None:
        raise InputError("pack() needs a budget: max_tokens=... or max_positions=...")
    _check("max_tokens", max_tokens, least=1)
    _check("max_positions", max_positions, least=1)
    _check("texts", texts, least=0)
    taken: dict[str, list[Hit]] = {"vectors": [], "text": []}
    spent = recall.count_tokens(_block([""])) if max_tokens is not None else 0
    positions = 0
    best_first = sorted(recall.hits, key=lambda hit: -hit.score)  # whatever order was asked for
    for rank, hit in enumerate(best_first):
        # Lines are counted by themselves: joined, they have no more tokens than that.
        cost = recall.count_tokens(_line(hit) + "\n") if max_tokens is not None else 0
        if max_tokens is not None and spent + cost > max_tokens:
            continue
        for form, places in _forms(recall, hit, wanted_as_text=rank < texts):
            if max_positions is None or positions + places <= max_positions:
                taken[form].append(hit)
                spent, positions = spent + cost, positions + places
                break
    vectors, told = (tuple(sorted(taken[form], key=_when)) for form in ("vectors", "text"))
    text = _lines(told)
    return Context(
        vectors,
        told,
        left_out=len(recall.hits) - len(vectors) - len(told),
        tokens=sum(hit.tokens for hit in (*vectors, *told)),
        positions=sum(hit.positions for hit in vectors)
        + (recall.count_tokens(text + "\n") if text else 0),
    )


def _forms(recall: Recall, hit: Hit, *, wanted_as_text: bool) -> Iterator[tuple[str, int]]:
    """The ways a hit may go in, the first that fits counts; each with its positions."""
    faithful = hit.fidelity >= MIN_FIDELITY
    if wanted_as_text or not faithful:
        yield "text", recall.count_tokens(_line(hit) + "\n")
    if faithful:
        yield "vectors", hit.positions


def _check(name: str, number: int | None, *, least: int) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is a whole number, not {number!r}")
    if number < least:
        kind = "a budget" if least else "a number of hits"
        raise InputError(f"{name}={number!r}: {kind} is at least {least}")


def _when(hit: Hit) -> tuple[datetime, int]:
    return hit.created_at, hit.id


def _line(hit: Hit) -> str:
    who = hit.name or hit.source.title or hit.role or hit.source.kind
    return f"[{hit.created_at:%Y-%m-%d}] {who}: {hit.text}"


def _lines(hits: Sequence[Hit]) -> str:
    return "\n".join(_line(hit) for hit in hits)


def _block(lines: Sequence[str]) -> str:
    return "\n".join([OPENING, *lines, CLOSING]) if lines else ""
