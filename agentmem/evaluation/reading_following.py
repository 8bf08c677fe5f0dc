"""How well a reader foretells a text when what stood before it are memories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from agentmem.evaluation.reading_config import FollowingConfig
from agentmem.evaluation.reading_sheets import Memories, Report, Sheet, Way, holds, vectors_of
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.padding import pad
from agentmem.models.reader.reader import MemoryReader
from agentmem.training.chunks import draw_chunks
from agentmem.training.data import PackedFile

_ROWS = 8


class Following:
    """Texts of one file, each with the memories of what stood before it."""

    def __init__(
        self,
        config: FollowingConfig,
        file: PackedFile,
        bundle: ModelBundle,
        densities: Sequence[str],
        *,
        seed: Sequence[int],
    ) -> None:
        """Draw the texts; the cut text is the last of what stood before.

        Raises:
            InputError: the file has fewer tokens than a text with its memories.
        """
        before = config.memories * config.memory_tokens
        drawn = draw_chunks(
            [file], [1], count=config.rows, tokens=before + config.tokens, seed=seed
        ).numpy()
        self._texts = [row[before:].tolist() for row in drawn]
        self._file = file.name
        near = config.memories * vectors_of(bundle, config.memory_tokens)
        size = config.memory_tokens
        self.sheet = Sheet(
            bundle,
            densities,
            memories=[[row[at : at + size] for at in range(0, before, size)] for row in drawn],
            cut=[
                [row[at : min(at + size, before)] for at in range(before - near, before, size)]
                for row in drawn
            ],
            prompts=[[lambda words: list(words.start)] for _ in drawn],
        )

    def measure(self, way: Way, report: Report) -> dict[str, Any]:
        """``perplexity`` per token of the bundle, teacher-forced.

        It is None if the memories are more than the reader holds.
        """
        memories, words = self.sheet.memories(way), way.reader.words
        about = {"file": self._file, "way": way.name, "positions": self.sheet.positions(way)}
        texts = [[*words.start, *words.of_chunk(ids)] for ids in self._texts]
        if memories is not None and not holds(way.reader, memories, max(map(len, texts))):
            report(len(texts), f"perplexity, {way.name}")
            return {**about, "perplexity": None}
        nats = 0.0
        for at in range(0, len(texts), _ROWS):
            read = None if memories is None else memories[at : at + _ROWS]
            nats += _nats(way.reader, read, texts[at : at + _ROWS])
            report(len(texts[at : at + _ROWS]), f"perplexity, {way.name}")
        return {**about, "perplexity": math.exp(nats / sum(map(len, self._texts)))}


@torch.no_grad()
def _nats(reader: MemoryReader, memories: Memories | None, texts: Sequence[list[int]]) -> float:
    """What all tokens after the first of each text cost together, in nats."""
    model = reader.parts.model
    ids, mask = pad(texts, reader.words.pad, side="right")
    prepared = None if memories is None else reader.prepare(memories)
    with model.reading(prepared):
        logits = model.lm(**model.inputs(ids, mask, prepared), use_cache=False).logits
    told = ids.masked_fill(mask == 0, IGNORED)[:, 1:]
    return float(
        F.cross_entropy(
            logits[:, -ids.shape[1] : -1].flatten(0, 1).float(),
            told.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
    )
