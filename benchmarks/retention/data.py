"""The chunks of the retention study, the same for every encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from agentmem.errors import ConfigError
from agentmem.training.data.packed import PackedFile, pack
from benchmarks.retention.chunks import draw_chunks
from benchmarks.retention.config import StudyDataConfig

# Chunks that say what mean and deviation each dim of an embedding has.
_SAMPLE = 512
# What a draw is for, as a part of its seed.
_STEPS, _STATISTICS, _HELD_OUT = range(3)


class StudyChunks:
    """Draws chunks of T tokens; every draw is a function of the seed and the step."""

    def __init__(
        self, config: StudyDataConfig, *, corpus: Path, tokenizer: Path, cache: Path, seed: int
    ) -> None:
        """Tokenize what is not in the cache yet.

        Raises:
            ConfigError: a file is not in the corpus folder.
            InputError: a file is damaged or has no text.
        """

        def packed(name: str) -> PackedFile:
            if not (corpus / name).is_file():
                raise ConfigError(f"{name!r} is not in the corpus folder {str(corpus)!r}")
            return pack(corpus / name, tokenizer, cache)

        self._config, self._seed = config, seed
        self._train = [packed(name) for name in config.train]
        self._dev = [packed(name) for name in config.dev]

    def train(self, tokens: int, step: int) -> Tensor:
        """The batch of a training step, int64 (B, T)."""
        return self._mixed(max(1, self._config.tokens_per_step // tokens), tokens, (_STEPS, step))

    def sample(self, tokens: int) -> Tensor:
        """Training chunks for statistics of embeddings, int64 (B, T)."""
        return self._mixed(_SAMPLE, tokens, (_STATISTICS,))

    def dev(self, tokens: int) -> Tensor:
        """The held-out chunks, as many of every file, int64 (B, T)."""
        return torch.cat(
            [
                draw_chunks(
                    [file],
                    [1],
                    count=self._config.dev_chunks,
                    tokens=tokens,
                    seed=(self._seed, _HELD_OUT, place),
                )
                for place, file in enumerate(self._dev)
            ]
        )

    def _mixed(self, count: int, tokens: int, draw: tuple[int, ...]) -> Tensor:
        return draw_chunks(
            self._train,
            list(self._config.train.values()),
            count=count,
            tokens=tokens,
            seed=(self._seed, *draw),
        )
