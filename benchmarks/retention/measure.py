"""Measures one frozen encoder: trains a probe on its embeddings and evaluates it on new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig

from agentmem.training.config import OptimizerConfig
from benchmarks.retention.data import StudyChunks
from benchmarks.retention.encoders import FrozenEncoder
from benchmarks.retention.fit import fit
from benchmarks.retention.probe import Probe, free_run

# Chunks that go through a network at once when nothing is trained.
_ROWS = 64


class Measuring:
    """Trains probes of one shape, on the same chunks, for as many steps, and scores them."""

    def __init__(
        self,
        chunks: StudyChunks,
        sizes: LlamaConfig,
        optimizer: OptimizerConfig,
        *,
        seed: int,
        precision: Literal["no", "bf16"],
        report: Callable[[str], None],
    ) -> None:
        """Say what all probes share.

        Args:
            chunks: What is embedded.
            sizes: Width, heads and layers.
            optimizer: Their training.
            seed: Of their first weights.
            precision: As for `fit`; scores are always taken in full precision.
            report: Called with the name of the probe after every step.
        """
        self._chunks, self._sizes, self._optimizer = chunks, sizes, optimizer
        self._seed, self._precision, self._report = seed, precision, report

    def retention(self, name: str, tokens: int, encoder: FrozenEncoder) -> dict[str, Any]:
        """What a probe regenerates from the embedding alone.

        Returns:
            ``encoder``, ``tokens``, ``dims``, ``bytes``, ``nats`` (cross-entropy per token),
            ``token_accuracy`` and ``exact_chunks`` (shares).
        """
        probe = self._fit(name, tokens, encoder, forced=False)
        nats, right = self._score(probe, tokens, encoder)
        return {
            "encoder": name,
            "tokens": tokens,
            "dims": encoder.dims,
            "bytes": encoder.bytes,
            "nats": nats,
            "token_accuracy": float(right.float().mean()),
            "exact_chunks": float(right.all(1).float().mean()),
        }

    def trap(self, name: str, tokens: int, encoder: FrozenEncoder) -> dict[str, Any]:
        """What a teacher-forced probe seems to regenerate, and what it does when left alone.

        Returns:
            ``encoder``, ``tokens``, ``teacher_forced_nats``, ``teacher_forced_accuracy``,
            ``free_running_accuracy``.
        """
        probe = self._fit(f"{name}, teacher-forced", tokens, encoder, forced=True)
        nats, right = self._score(probe, tokens, encoder)
        alone = [
            free_run(probe, encoder.embed(ids)) == ids
            for ids in torch.split(self._chunks.dev(tokens), _ROWS)
        ]
        return {
            "encoder": name,
            "tokens": tokens,
            "teacher_forced_nats": nats,
            "teacher_forced_accuracy": float(right.float().mean()),
            "free_running_accuracy": float(torch.cat(alone).float().mean()),
        }

    def _fit(self, name: str, tokens: int, encoder: FrozenEncoder, *, forced: bool) -> Probe:
        sample = torch.cat(
            [encoder.embed(ids) for ids in torch.split(self._chunks.sample(tokens), _ROWS)]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            probe = Probe(self._sizes, sample, tokens=tokens, forced=forced)

        def loss_at(step: int) -> Tensor:
            ids = self._chunks.train(tokens, step)
            # The frozen encoder says what it would say in use: rounding of its own is no subject.
            with torch.autocast("cpu", enabled=False):
                embedding = encoder.embed(ids)
            return probe.loss(embedding, ids)

        fit(
            probe,
            loss_at,
            self._optimizer,
            precision=self._precision,
            report=lambda step, loss: self._report(f"{name}, {tokens} tokens, loss {loss:.2f}"),
        )
        return probe

    @torch.no_grad()
    def _score(self, probe: Probe, tokens: int, encoder: FrozenEncoder) -> tuple[float, Tensor]:
        """Cross-entropy on held-out chunks, nats per token, and which tokens are right (B, T)."""
        chunks = self._chunks.dev(tokens)
        nats, right = 0.0, []
        for ids in torch.split(chunks, _ROWS):
            logits = probe(encoder.embed(ids), ids)
            nats += float(F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="sum"))
            right.append(logits.argmax(-1) == ids)
        return nats / chunks.numel(), torch.cat(right)
