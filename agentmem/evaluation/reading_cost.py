"""What reading costs until the first token, and what is kept until the last.

Both sides use the same language model's weights. One starts from stored latents, packed as they
lie in the database, the other from token ids: neither has done any work before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.evaluation.reading_config import CostConfig
from agentmem.evaluation.reading_sheets import Ids, Report, Stored, holds, store
from agentmem.models.reader.modeling import room_of
from agentmem.models.reader.prompts import question_prompt
from agentmem.models.reader.reader import MemoryReader
from agentmem.training.chunks import draw_chunks
from agentmem.training.data import PackedFile

_QUESTION = "What did she say about the train to Lyon?"
# A run gives the bytes that it keeps.
Run = Callable[[], int]


class Cost:
    """Readings of some sizes, timed."""

    def __init__(
        self,
        config: CostConfig,
        file: PackedFile,
        reader: MemoryReader,
        density: str,
        *,
        seed: Sequence[int],
    ) -> None:
        """Draw the memories.

        Raises:
            InputError: the file has fewer tokens than a memory.
        """
        self._config, self._reader, self._density = config, reader, density
        most = max(config.tokens) // config.memory_tokens
        drawn = draw_chunks([file], [1], count=most, tokens=config.memory_tokens, seed=seed)
        self._drawn: list[Ids] = list(drawn.numpy())

    @property
    def rows(self) -> int:
        """How many runs `measure` reports; one before the repeats warms up."""
        return 2 * len(self._config.tokens) * (self._config.repeats + 1)

    def measure(self, report: Report) -> list[dict[str, Any]]:
        """Medians by tokens of memory.

        Returns:
            For each number of tokens: ``tokens``, ``memories``, and by ``vectors`` and ``raw``:
            ``first_token_ms``, ``kv_bytes`` (all that is kept) and ``kv_bytes_per_token`` (of the
            memories alone); ``first_token_ratio`` and ``kv_ratio``, raw over vectors. None where
            the language model or the reader does not hold so much.
        """
        sizes = [(tokens, self._runs(tokens)) for tokens in self._config.tokens]
        seconds: dict[tuple[int, str], list[float]] = {}
        kept: dict[tuple[int, str], int] = {}
        for repeat in range(self._config.repeats + 1):
            for tokens, runs in sizes:
                for side, run in runs.items():
                    if run is not None:
                        began = time.perf_counter()
                        kept[tokens, side] = run()
                        took = time.perf_counter() - began
                        if repeat:
                            seconds.setdefault((tokens, side), []).append(took)
                    report(1, f"first token after {tokens:,} tokens, {side}")
        bare = _forward(self._reader, None, self._prompt)
        return [self._row(tokens, seconds, kept, bare) for tokens, _ in sizes]

    def _row(
        self,
        tokens: int,
        seconds: dict[tuple[int, str], list[float]],
        kept: dict[tuple[int, str], int],
        bare: int,
    ) -> dict[str, Any]:
        """Figures of one size; ``bare`` is what the prompt alone keeps."""
        row: dict[str, Any] = {"tokens": tokens, "memories": tokens // self._config.memory_tokens}
        for side in ("vectors", "raw"):
            row[side] = None
            if (tokens, side) in kept:
                row[side] = {
                    "first_token_ms": 1e3 * median(seconds[tokens, side]),
                    "kv_bytes": kept[tokens, side],
                    "kv_bytes_per_token": (kept[tokens, side] - bare) / tokens,
                }
        for name, figure in (("first_token_ratio", "first_token_ms"), ("kv_ratio", "kv_bytes")):
            both = row["vectors"] is not None and row["raw"] is not None
            row[name] = row["raw"][figure] / row["vectors"][figure] if both else None
        return row

    def _runs(self, tokens: int) -> dict[str, Run | None]:
        """One run of each side, None for what a side cannot hold."""
        reader, chunks = self._reader, self._drawn[: tokens // self._config.memory_tokens]
        (stored,) = store(reader.bundle, [chunks], [self._density])
        words = reader.words
        text = [id for ids in chunks for id in words.of_chunk(ids.tolist())]
        raw = [*words.start, *text, *self._prompt[len(words.start) :]]
        return {
            "vectors": (lambda: self._vectors(stored))
            if holds(reader, [stored], len(self._prompt) + 1)
            else None,
            "raw": (lambda: _forward(reader, None, raw)) if _has_places(reader, len(raw)) else None,
        }

    def _vectors(self, stored: Sequence[Stored]) -> int:
        unpack = self._reader.bundle.unpack
        memories = [_Unpacked(unpack(one.packed, one.tokens), one.tokens) for one in stored]
        return _forward(self._reader, memories, self._prompt)

    @property
    def _prompt(self) -> list[int]:
        return question_prompt(self._reader.words, _QUESTION)


@dataclass(frozen=True, slots=True, eq=False)
class _Unpacked:
    """What a reader needs of a memory."""

    latents: NDArray[np.int8]
    tokens: int


@torch.no_grad()
def _forward(reader: MemoryReader, memories: Sequence[_Unpacked] | None, text: list[int]) -> int:
    """Find the first token after a text; the bytes kept for the next ones."""
    model, ids = reader.parts.model, torch.tensor([text])
    prepared = None if memories is None else reader.prepare([memories])
    inputs = model.inputs(ids, torch.ones_like(ids), prepared)
    with model.reading(prepared):
        output = model.lm(**inputs, use_cache=True, logits_to_keep=1)
    output.logits[:, -1].argmax(-1).item()
    slots = None if prepared is None else prepared.slots
    cache = sum(
        part.nbytes for layer in output.past_key_values for part in layer if part is not None
    )
    return int(cache) + (0 if slots is None else slots.nbytes())


def _has_places(reader: MemoryReader, length: int) -> bool:
    """Whether a language model can read so many tokens; rotary places have no end."""
    lm = reader.parts.model.lm
    room = room_of(lm)
    rotary = any("Rotary" in type(module).__name__ for module in lm.modules())
    return rotary or room is None or length <= room
