"""Exercises as tensors, and the part of a batch that falls to each process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.slots import Slots
from agentmem.models.reader.words import Words
from agentmem.models.tokenizer import PAD
from agentmem.training.reading import ReadingBatch

# Memories that the encoder sees together: a CPU likes few, a GPU many.
_TOGETHER = {"cpu": 32, "cuda": 1024}


@dataclass(frozen=True, slots=True, eq=False)
class ReadingTensors:
    """A batch on its device: see `ReadingModel.forward`."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    memory: Slots | None


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
    )
    return part, counts


def tensors(
    batch: ReadingBatch, words: Words, bundle: ModelBundle, density: str, device: torch.device
) -> ReadingTensors:
    """Prompts with their answers, padded on the right, and memories as a store would keep them."""
    rows = [[*p, *a] for p, a in zip(batch.prompts, batch.answers, strict=True)]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), words.pad)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for at, (row, prompt) in enumerate(zip(rows, batch.prompts, strict=True)):
        ids[at, : len(row)] = torch.tensor(row)
        labels[at, len(prompt) : len(row)] = ids[at, len(prompt) : len(row)]
        mask[at, : len(row)] = 1
    return ReadingTensors(
        ids.to(device), mask.to(device), labels.to(device), _slots(batch, bundle, density, device)
    )


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
