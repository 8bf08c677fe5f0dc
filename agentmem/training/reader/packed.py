"""Exercises packed into one compressed file, small enough to copy to a GPU machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import InputError
from agentmem.models.reader.sequence import Branch, ReadingSequence, lay_out
from agentmem.training.reader.exercises import Exercise


@dataclass(frozen=True, slots=True, eq=False)
class PackedExercises:
    """Many exercises as flat arrays.

    Attributes:
        ids: All token ids: of each exercise its memories, then prompt and target of each branch;
            uint16, or uint32 for a larger vocabulary.
        memories: Length of each memory.
        branches: Length of prompt and target of each branch, (N, 2).
        weights: Weight of each branch's target tokens.
        counts: How many memories and branches each exercise has, (E, 2).
    """

    ids: NDArray[np.uint16] | NDArray[np.uint32]
    memories: NDArray[np.uint16]
    branches: NDArray[np.uint16]
    weights: NDArray[np.float32]
    counts: NDArray[np.uint16]

    @classmethod
    def of(cls, exercises: Sequence[Exercise]) -> PackedExercises:
        """Pack exercises.

        Raises:
            InputError: there are none.
        """
        if not exercises:
            raise InputError("no exercises to pack")
        ids: list[NDArray[np.int64]] = []
        for e in exercises:
            for m in e.memories:
                ids.append(np.asarray(m, dtype=np.int64))
            for b in e.branches:
                ids.append(np.asarray([*b.prompt, *b.target], dtype=np.int64))
        flat = np.concatenate(ids)
        small = flat.max(initial=0) <= np.iinfo(np.uint16).max
        return cls(
            flat.astype(np.uint16) if small else flat.astype(np.uint32),
            np.array([len(m) for e in exercises for m in e.memories], dtype=np.uint16),
            np.array(
                [(len(b.prompt), len(b.target)) for e in exercises for b in e.branches],
                dtype=np.uint16,
            ),
            np.array([b.weight for e in exercises for b in e.branches], dtype=np.float32),
            np.array([(len(e.memories), len(e.branches)) for e in exercises], dtype=np.uint16),
        )

    def save(self, path: Path) -> None:
        """Write as a compressed npz file."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> PackedExercises:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or something else.
        """
        try:
            # Opened here: numpy does not close a file that it cannot read.
            with path.open("rb") as raw, np.load(raw) as file:
                return cls(**{name: file[name] for name in cls.__slots__})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, TypeError) as error:
            raise InputError(f"no packed exercises in {str(path)!r}: {error}") from error

    @classmethod
    def joined(cls, parts: Sequence[PackedExercises]) -> PackedExercises:
        """The exercises of several files, one after the other; there is at least one."""
        return cls(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in cls.__slots__
            }
        )

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each exercise, int64 (E,)."""
        memory_ends = np.cumsum(self.counts[:, 0], dtype=np.int64)
        branch_ends = np.cumsum(self.counts[:, 1], dtype=np.int64)
        memory = np.concatenate([[0], np.cumsum(self.memories.astype(np.int64))])
        branch = np.concatenate([[0], np.cumsum(self.branches.astype(np.int64).sum(axis=1))])
        ends = memory[memory_ends] + branch[branch_ends]
        lengths: NDArray[np.int64] = np.diff(ends, prepend=0)
        return lengths


class ExerciseReader:
    """Random access to packed exercises as reading sequences."""

    def __init__(self, packed: PackedExercises, prefix: Sequence[int]) -> None:
        self._packed, self._prefix = packed, list(prefix)
        self.lengths = packed.lengths + len(self._prefix)
        self._memory = np.concatenate([[0], np.cumsum(packed.counts[:, 0], dtype=np.int64)])
        self._branch = np.concatenate([[0], np.cumsum(packed.counts[:, 1], dtype=np.int64)])
        self._start = np.concatenate([[0], np.cumsum(packed.lengths)])

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, index: int) -> ReadingSequence:
        packed = self._packed
        at = int(self._start[index])
        ids = packed.ids[at : int(self._start[index + 1])].tolist()
        at = 0
        memories = []
        for length in packed.memories[self._memory[index] : self._memory[index + 1]].tolist():
            memories.append(ids[at : at + length])
            at += length
        branches = []
        part = slice(self._branch[index], self._branch[index + 1])
        for (prompt, target), weight in zip(
            packed.branches[part].tolist(), packed.weights[part].tolist(), strict=True
        ):
            branches.append(
                Branch(ids[at : at + prompt], ids[at + prompt : at + prompt + target], weight)
            )
            at += prompt + target
        return lay_out(self._prefix, memories, branches)
