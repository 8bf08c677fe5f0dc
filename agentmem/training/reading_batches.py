"""Exercises as tensors, and the part of a batch that falls to each process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.attention import Sought
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.padding import pad
from agentmem.models.reader.slots import Slots
from agentmem.models.reader.words import BundleWords, Words
from agentmem.models.tokenizer import PAD
from agentmem.training.reading import ReadingBatch

# Tokens of an answer of which is told where they stand.
_SOUGHT = 8
# Memories that the encoder sees together: a CPU likes few, a GPU many.
_TOGETHER = {"cpu": 32, "cuda": 1024}


@dataclass(frozen=True, slots=True, eq=False)
class ReadingTensors:
    """A batch on its device: see `ReadingModel.forward`."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    memory: Slots | None
    sought: Sought | None


def share(batch: ReadingBatch, process: int, processes: int) -> tuple[ReadingBatch, bool]:
    """One process's part of a batch: whole groups, or some rows of one where there are fewer.

    Returns:
        The part, and whether it counts: a process for which nothing is left takes a row of
        another's, since all must take the same step, and its answer must count nowhere.
    """
    rows, groups = len(batch.prompts), len(batch.memories)
    each = rows // max(1, groups)
    if groups >= processes:
        mine = range(process, groups, processes)
        chosen = [group * each + row for group in mine for row in range(each)]
    elif groups:
        mine = range(process % groups, process % groups + 1)
        beside = len(range(mine[0], processes, groups))
        chosen = list(range(mine[0] * each + process // groups, (mine[0] + 1) * each, beside))
    else:
        mine = range(0)
        chosen = list(range(process, rows, processes))
    counts = bool(chosen)
    if not counts:
        chosen = [mine[0] * each if mine else 0]
    part = ReadingBatch(
        batch.exercise,
        [batch.memories[group] for group in mine],
        [batch.prompts[row] for row in chosen],
        [batch.answers[row] for row in chosen],
        [batch.sources[row] for row in chosen] if batch.sources else [],
    )
    return part, counts


def tensors(
    batch: ReadingBatch,
    words: Words,
    bundle: ModelBundle,
    density: str,
    device: torch.device,
    *,
    corrupted: float = 0.0,
    generator: torch.Generator | None = None,
) -> ReadingTensors:
    """Prompts with their answers, padded on the right, and memories as a store would keep them.

    Args:
        batch: The exercise.
        words: Of the language model.
        bundle: Encodes the memories.
        density: How they are quantised.
        device: Where the tensors go.
        corrupted: Share of the answers' tokens that are read as random ones; what is to be
            written stays. A reader that is put off by one mistake of its own makes many. Texts
            that follow memories, or stand alone, are left as they are.
        generator: Where their chance comes from, on the CPU.
    """
    rows = [[*p, *a] for p, a in zip(batch.prompts, batch.answers, strict=True)]
    ids, mask = pad(rows, words.pad, side="right")
    labels = ids.masked_fill(mask == 0, IGNORED)
    for at, prompt in enumerate(batch.prompts):
        labels[at, : len(prompt)] = IGNORED
    if corrupted and batch.sources:
        shape = ids.shape
        wrong = (torch.rand(shape, generator=generator) < corrupted) & (labels != IGNORED)
        others = torch.randint(words.vocab_size, shape, generator=generator)
        ids = torch.where(wrong, others, ids)
    memory = _slots(batch, bundle, density, device)
    sought = None
    if memory is not None and batch.sources:
        sought = _sought(batch, memory, aligned=isinstance(words, BundleWords))
    return ReadingTensors(ids.to(device), mask.to(device), labels.to(device), memory, sought)


def _sought(batch: ReadingBatch, memory: Slots, *, aligned: bool) -> Sought:
    """Where the first tokens of each answer stand: all slots of a memory, or the very one.

    Args:
        batch: The exercise.
        memory: Its slots, of N memories with up to T tokens.
        aligned: Whether the language model's tokens are the slots'.
    """
    count, longest = memory.codes.shape[1:3]
    each = longest + 1  # every memory has a closing edge
    firsts = [
        list(range(0, len(answer), -(-len(answer) // _SOUGHT)))
        if aligned and source.start is not None
        else [0]
        for answer, source in zip(batch.answers, batch.sources, strict=True)
    ]
    shape = (len(firsts), max(map(len, firsts)))
    at, counts = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
    # Where no memory holds the answer, the empty slot behind them all is what is sought.
    slots = torch.zeros(*shape, count * each + 1, dtype=torch.bool)
    for row, (offsets, source) in enumerate(zip(firsts, batch.sources, strict=True)):
        for column, offset in enumerate(offsets):
            at[row, column] = len(batch.prompts[row]) - 1 + offset
            counts[row, column] = True
            slots[row, column, -1] = not source.memories
            for place in source.memories:
                first = place * each
                if source.start is not None:
                    slots[row, column, first + source.start + offset] = True
                else:
                    slots[row, column, first : first + each] = True
    device = memory.codes.device
    return Sought(at.to(device), slots.to(device), counts.to(device))


def _slots(
    batch: ReadingBatch, bundle: ModelBundle, density: str, device: torch.device
) -> Slots | None:
    if not batch.memories:
        return None
    count = max(map(len, batch.memories))
    longest = max(len(memory) for group in batch.memories for memory in group)
    lengths = torch.zeros(len(batch.memories), count, dtype=torch.int64)
    codes = torch.zeros(*lengths.shape, longest, bundle.slot_dims, dtype=torch.int64, device=device)
    places = [
        (len(memory), row, place)
        for row, group in enumerate(batch.memories)
        for place, memory in enumerate(group)
    ]
    # Memories of like length together: little of what the encoder sees is padding.
    places.sort()
    together = _TOGETHER[device.type]
    for first in range(0, len(places), together):
        block = places[first : first + together]
        width = block[-1][0]
        ids = torch.full((len(block), width), PAD)
        for at, (length, row, place) in enumerate(block):
            ids[at, :length] = torch.from_numpy(batch.memories[row][place])
        counts, rows, columns = torch.tensor(block).unbind(1)
        made = bundle.quantised(ids.to(device), counts.to(device), density)
        codes[rows.to(device), columns.to(device), :width] = made
        lengths[rows, columns] = counts
    return Slots(codes, lengths.to(device))
