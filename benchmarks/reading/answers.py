"""Answers under a condition: memories as states, as text, as shortened text, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agentmem.models.reader.configuration import NOT_IN_MEMORY, ReaderConfig
from agentmem.models.reader.decoding import decode_batch
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.sequence import Branch, ReadingSequence, lay_out
from agentmem.training.reader.batches import collate
from benchmarks.reading.items import Item

_ROUND = 64
_MOST = 24


@dataclass(frozen=True, slots=True)
class Condition:
    """How memories reach the model.

    Attributes:
        name: Name in the tables.
        ratio: Tokens per kept state; 0 reads text.
        cut: Text is shortened to one token in this many; 0 reads no memory.
        adapted: Whether the reader's adapter is on.
        withheld: Whether answers of low confidence are withheld, as in the reader's configuration.
    """

    name: str
    ratio: int = 0
    cut: int = 1
    adapted: bool = True
    withheld: bool = True

    @property
    def decoding(self) -> str:
        """What determines the answers that are decoded, as a file name."""
        return f"ratio-{self.ratio}-cut-{self.cut}" + ("" if self.adapted else "-unadapted")


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded answer.

    Attributes:
        text: None if it says that the answer is not in memory.
        abstention: Probability of the first token of "not in memory" at the first position.
        certainty: Probability of the answer's own first token.
        log_probability: Of the whole answer, in nats.
    """

    text: str | None
    abstention: float
    certainty: float
    log_probability: float


def withhold(answers: Sequence[Answer], config: ReaderConfig) -> list[str | None]:
    """The answers as a reader of this configuration gives them: None where it withholds them."""
    return [
        None if config.withholds(one.abstention, one.certainty) else one.text for one in answers
    ]


def answer(
    items: Sequence[Item],
    model: ReadingModel,
    prompt: ReadingPrompt,
    condition: Condition,
    *,
    tokens: int,
    report: Callable[[int], None] = lambda done: None,
) -> list[Answer]:
    """The answers to items, in their order; nothing is withheld yet."""
    device = model.lm.get_input_embeddings().weight.device
    laid = [(index, _sequence(item, prompt, condition)) for index, item in enumerate(items)]
    laid.sort(key=lambda pair: len(pair[1]))
    found: dict[int, Answer] = {}
    while laid:
        size = 1
        while size < len(laid) and (size + 1) * len(laid[size][1]) <= tokens:
            size += 1
        batch, laid = laid[:size], laid[size:]
        length = -(-len(batch[-1][1]) // _ROUND) * _ROUND
        written = decode_batch(
            model,
            collate([sequence for _, sequence in batch], length).to(torch.device(device)),
            condition.ratio,
            end=prompt.end,
            most=_MOST,
            watch=(prompt.ids(NOT_IN_MEMORY)[0],),
            adapted=condition.adapted,
        )
        for (index, _), ids, first, certainty, total in zip(
            batch,
            written.ids,
            written.first,
            written.certainties,
            written.log_probabilities,
            strict=True,
        ):
            text = answer_text(ids, prompt.tokenizer)
            found[index] = Answer(text, math.exp(first[0]), math.exp(certainty), total)
        report(len(found))
    return [found[index] for index in range(len(items))]


def _sequence(item: Item, prompt: ReadingPrompt, condition: Condition) -> ReadingSequence:
    memories = [prompt.memory(line) for line in item.memories]
    room = -(-sum(map(len, memories)) // condition.cut) if condition.cut else 0
    shorter = []
    for memory in memories:
        if room > 0:
            shorter.append(memory[:room])
        room -= len(memory)
    return lay_out(prompt.prefix, shorter, [Branch(prompt.question(item.question))])


def answer_text(ids: Sequence[int], tokenizer: Any) -> str | None:
    """The text of an answer; None if it says that there is none."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True).strip()
    abstained = text.lower().startswith(NOT_IN_MEMORY.lower().rstrip("."))
    return None if abstained else text
