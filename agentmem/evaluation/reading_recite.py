"""What a reader writes of its memories word by word: whole ones, and what follows a cue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from agentmem.evaluation.reading_config import LookupConfig, RegenerationConfig
from agentmem.evaluation.reading_scores import mean_of, tokens_right
from agentmem.evaluation.reading_sheets import Ids, Prompt, Report, Sheet, Way, vectors_of
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.prompts import continue_prompt, regenerate_prompt
from agentmem.models.reader.words import Words
from agentmem.training.chunks import draw_chunks
from agentmem.training.data import PackedFile

# Look-ups in one group of memories, at most: the more groups, the more different memories.
_LOOKUPS = 16


class Regeneration:
    """Memories of one file, N in a reading, each asked for by its number."""

    def __init__(
        self,
        config: RegenerationConfig,
        file: PackedFile,
        bundle: ModelBundle,
        densities: Sequence[str],
        *,
        memories: int,
        seed: Sequence[int],
    ) -> None:
        """Draw the memories.

        Raises:
            InputError: the file has fewer tokens than a memory.
        """
        groups = -(-config.rows // memories)
        self._drawn = _draw(file, groups, memories, config.memory_tokens, seed)
        self._about = {"file": file.name, "memories": memories}
        self.sheet = Sheet(
            bundle,
            densities,
            memories=self._drawn,
            cut=_cut(self._drawn, bundle),
            prompts=[
                [partial(regenerate_prompt, number=place + 1) for place in range(memories)]
                for _ in range(groups)
            ],
        )

    def measure(self, way: Way, report: Report) -> dict[str, Any]:
        """``token_accuracy`` and ``exact`` (whole memories, ended where they end): shares.

        Both are None if the memories are more than the reader holds.
        """
        words = way.reader.words
        wanted = [[words.of_chunk(ids.tolist())] for group in self._drawn for ids in group]
        longest = max(len(ids) for (ids,) in wanted)
        made = self.sheet.answers(way, longest + 1, report, "regeneration")
        return {**self._about, "way": way.name, **_shares(made, wanted, end=[words.end])}


class Lookup:
    """Cues of a few tokens, each from one of N memories."""

    def __init__(
        self,
        config: LookupConfig,
        files: Sequence[PackedFile],
        bundle: ModelBundle,
        densities: Sequence[str],
        *,
        memories: int,
        seed: Sequence[int],
    ) -> None:
        """Draw memories, each group from one file, and cues.

        Raises:
            InputError: a file has fewer tokens than a memory.
        """
        each = min(memories, _LOOKUPS)
        groups = -(-config.rows // each)
        drawn = [
            _draw(files[at % len(files)], 1, memories, config.memory_tokens, (*seed, at))[0]
            for at in range(groups)
        ]
        rng = np.random.default_rng([*seed, groups])
        last = config.memory_tokens - config.cue - config.following
        prompts: list[list[Prompt]] = []
        self._wanted: list[list[Ids]] = []
        for group in drawn:
            cues = []
            for chosen in rng.permutation(memories)[:each].tolist():
                start = int(rng.integers(0, last + 1))
                cues.append(group[chosen][start : start + config.cue])
            prompts.append([partial(_cued, cue=cue) for cue in cues])
            self._wanted += [followers(group, cue, config.following) for cue in cues]
        self._about = {"memories": memories}
        self.sheet = Sheet(
            bundle, densities, memories=drawn, cut=_cut(drawn, bundle), prompts=prompts
        )

    def measure(self, way: Way, report: Report) -> dict[str, Any]:
        """``token_accuracy`` and ``exact`` (look-ups wholly right): shares.

        A cue may stand in several places; what follows it at any of them is right. Both figures
        are None if the memories are more than the reader holds.
        """
        words = way.reader.words
        wanted = [[words.of_chunk(ids.tolist()) for ids in row] for row in self._wanted]
        longest = max(len(ids) for row in wanted for ids in row)
        made = self.sheet.answers(way, longest, report, "look-up")
        return {**self._about, "way": way.name, **_shares(made, wanted, end=[])}


def followers(group: Sequence[Ids], cue: Ids, count: int) -> list[Ids]:
    """What follows a cue at each of its places in memories that has so many tokens behind it."""
    found = []
    for memory in group:
        windows = np.lib.stride_tricks.sliding_window_view(memory, len(cue) + count)
        found += list(windows[(windows[:, : len(cue)] == cue).all(1), len(cue) :])
    return found


def _cued(words: Words, cue: Ids) -> list[int]:
    return continue_prompt(words, words.of_chunk(cue.tolist()))


def _draw(
    file: PackedFile, groups: int, memories: int, tokens: int, seed: Sequence[int]
) -> list[list[Ids]]:
    drawn = draw_chunks([file], [1], count=groups * memories, tokens=tokens, seed=seed).numpy()
    return [list(drawn[at : at + memories]) for at in range(0, len(drawn), memories)]


def _cut(groups: Sequence[Sequence[Ids]], bundle: ModelBundle) -> list[list[Ids]]:
    """Each memory cut to as many tokens as it has vectors."""
    return [[ids[: vectors_of(bundle, len(ids))] for ids in group] for group in groups]


def _shares(
    made: Sequence[list[int]] | None, wanted: Sequence[Sequence[list[int]]], *, end: list[int]
) -> dict[str, Any]:
    """Shares of tokens and of rows that are right, by the best of what each row wants.

    Args:
        made: Ids of each row; None if they could not be written.
        wanted: What would be right, one or more for each row.
        end: What must follow for a row to be exact.
    """
    if made is None:
        return {"rows": len(wanted), "token_accuracy": None, "exact": None}
    rows = [
        {
            "token_accuracy": max(tokens_right(ids, one) for one in right),
            "exact": float(any(ids[: len(one) + len(end)] == one + end for one in right)),
        }
        for ids, right in zip(made, wanted, strict=True)
    ]
    return {"rows": len(rows), **mean_of(rows)}
