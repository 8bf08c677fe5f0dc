"""Memories with what is asked of them, and what a reader writes, free-running.

Each sheet is read in several ways, on the same memories and with the same prompts:

- ``vectors``: the reader under test, from int8 latents.
- ``raw tokens``: its rival of the same size and training, which spends one position per token.
  It too is given latents, at the finest density, where each stands for its own token.
- ``cut text``: that rival, given only as many tokens as the vectors would take positions.
- ``no memory``: the reader under test, given nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.modeling import room_of
from agentmem.models.reader.padding import pad
from agentmem.models.reader.reader import MemoryReader
from agentmem.models.reader.words import Words

Ids = NDArray[np.int64]
Prompt = Callable[[Words], list[int]]
Report = Callable[[int, str], None]
WayName = Literal["vectors", "raw tokens", "cut text", "no memory"]
Shown = Literal["memories", "tokens", "cut", "nothing"]
# Rows that a language model continues at once, and their positions in all.
_ROWS = 32
_POSITIONS = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A memory as a store keeps it; a reader can read it."""

    latents: NDArray[np.int8]
    packed: bytes
    tokens: int


Memories = Sequence[Sequence[Stored]]


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A reader, and what it is given of a sheet."""

    name: WayName
    reader: MemoryReader
    shown: Shown


def ways_of(reader: MemoryReader, raw: MemoryReader | None) -> list[Way]:
    """All ways of reading that two readers allow; without the rival there are two."""
    ways = [Way("vectors", reader, "memories")]
    if raw is not None:
        ways += [Way("raw tokens", raw, "tokens"), Way("cut text", raw, "cut")]
    return [*ways, Way("no memory", reader, "nothing")]


def store(
    bundle: ModelBundle, groups: Sequence[Sequence[Ids]], densities: Sequence[str]
) -> list[list[Stored]]:
    """Encode and quantise as `Memory.add` does; groups take the densities in turn."""
    found: list[list[Stored]] = [[] for _ in groups]
    for place, density in enumerate(densities):
        chosen = range(place, len(groups), len(densities))
        flat = [(row, ids.tolist()) for row in chosen for ids in groups[row]]
        coded = bundle.encode([ids for _, ids in flat], density=density) if flat else []
        for (row, ids), one in zip(flat, coded, strict=True):
            found[row].append(Stored(one.latents, one.packed, len(ids)))
    return found


def vectors_of(bundle: ModelBundle, tokens: int) -> int:
    """Memory vectors of so many tokens."""
    config = bundle.autoencoder.config
    return -(-tokens // (config.vector_dims // config.slot_dims))


def positions(reader: MemoryReader, tokens: int) -> int:
    """Positions that a memory of so many tokens takes; of slot attention: its memory vectors."""
    if reader.config.route == "slots":
        return vectors_of(reader.bundle, tokens)
    return -(-tokens // reader.config.tokens_per_position)


class Sheet:
    """Groups of memories with prompts that ask for them."""

    def __init__(
        self,
        bundle: ModelBundle,
        densities: Sequence[str],
        *,
        memories: Sequence[Sequence[Ids]],
        cut: Sequence[Sequence[Ids]],
        prompts: Sequence[Sequence[Prompt]],
    ) -> None:
        """Nothing is encoded before it is read.

        Args:
            bundle: What memories are encoded with.
            densities: See `store`; of the vectors alone.
            memories: Token ids of each group's memories.
            cut: The same, cut to as many tokens as the memories have vectors.
            prompts: What is asked of each group.
        """
        self._bundle, self._densities = bundle, densities
        self._ids, self._cut_ids = memories, cut
        self._prompts = prompts

    @property
    def rows(self) -> int:
        """Number of prompts."""
        return sum(map(len, self._prompts))

    def memories(self, way: Way) -> Memories | None:
        """What a way of reading is given; None for nothing."""
        if way.shown == "nothing":
            return None
        if way.shown == "memories":
            return self._memories
        return self._tokens if way.shown == "tokens" else self._cut

    def positions(self, way: Way) -> float:
        """Positions that a group's memories take, on average."""
        groups = self.memories(way)
        if groups is None:
            return 0.0
        taken = [sum(positions(way.reader, one.tokens) for one in group) for group in groups]
        return sum(taken) / len(taken)

    def answers(
        self, way: Way, new_tokens: int, report: Report, note: str
    ) -> list[list[int]] | None:
        """What the reader of a way writes after each prompt, greedily.

        Args:
            way: The way of reading.
            new_tokens: Most ids of an answer.
            report: Hears of every batch how many rows it had.
            note: Told to ``report``.

        Returns:
            New ids, prompts in order; None if the memories are more than the reader holds.
        """
        memories = self.memories(way)
        words = way.reader.words
        prompts = [[prompt(words) for prompt in group] for group in self._prompts]
        longest = max(len(prompt) for group in prompts for prompt in group)
        if memories is not None and not holds(way.reader, memories, longest + new_tokens):
            report(self.rows, f"{note}, {way.name}")
            return None
        made: dict[tuple[int, int], list[int]] = {}
        for batch in self._batches(way, memories, longest + new_tokens):
            asked = [prompts[group][row] for group, rows in batch for row in rows]
            read = None if memories is None else [memories[group] for group, _ in batch]
            places = [(group, row) for group, rows in batch for row in rows]
            written = write(way.reader, read, asked, new_tokens)
            made.update(zip(places, written, strict=True))
            report(len(asked), f"{note}, {way.name}")
        return [made[place] for place in sorted(made)]

    def _batches(
        self, way: Way, memories: Memories | None, text: int
    ) -> Iterator[list[tuple[int, range]]]:
        """Groups, and the rows of each that are asked together: as many rows of every group.

        Args:
            way: The way of reading.
            memories: What it is given.
            text: Positions of a prompt and its answer.
        """
        parts = []
        for group, prompts in enumerate(self._prompts):
            width = text
            if memories is not None and way.reader.config.route == "positions":
                width += _edged(way.reader, memories[group])
            most = max(1, min(_ROWS, _POSITIONS // width))
            for begin in range(0, len(prompts), most):
                rows = range(begin, min(begin + most, len(prompts)))
                parts.append((len(rows), width, group, rows))
        # Alike beside alike: little padding.
        parts.sort(key=lambda part: (*part[:3], part[3].start))
        batch: list[tuple[int, range]] = []
        for each, width, group, rows in parts:
            full = (len(batch) + 1) * each > max(1, min(_ROWS, _POSITIONS // width))
            if batch and (full or each != len(batch[0][1])):
                yield batch
                batch = []
            batch.append((group, rows))
        if batch:
            yield batch

    @cached_property
    def _memories(self) -> list[list[Stored]]:
        return store(self._bundle, self._ids, self._densities)

    @cached_property
    def _tokens(self) -> list[list[Stored]]:
        return store(self._bundle, self._ids, self._bundle.densities[:1])

    @cached_property
    def _cut(self) -> list[list[Stored]]:
        return store(self._bundle, self._cut_ids, self._bundle.densities[:1])


def holds(reader: MemoryReader, memories: Memories, text: int) -> bool:
    """Whether a reader has room for each group's memories and so many positions of text."""
    if max(map(len, memories)) > reader.config.max_memories:
        return False
    room = room_of(reader.parts.model.lm)
    if room is None:
        return True
    if reader.config.route == "slots":
        return text <= room
    return text + max(_edged(reader, group) for group in memories) <= room


@torch.no_grad()
def write(
    reader: MemoryReader,
    memories: Memories | None,
    prompts: Sequence[list[int]],
    new_tokens: int,
) -> list[list[int]]:
    """Continue prompts greedily, padded on the left; the rows of a group stand together."""
    words, model = reader.words, reader.parts.model
    ids, mask = pad(prompts, words.pad, side="left")
    made: list[list[int]] = model.generate(
        ids,
        mask,
        None if memories is None else reader.prepare(memories),
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=words.end,
        pad_token_id=words.pad,
    ).tolist()
    return made


def _edged(reader: MemoryReader, group: Sequence[Stored]) -> int:
    """Positions of a group's memories, with an edge before each and one behind the last."""
    return sum(positions(reader, one.tokens) for one in group) + len(group) + 1
