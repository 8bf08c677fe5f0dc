"""A frozen causal language model with adapters that let it read memories as states.

`ReadingModel` is the differentiable part that training and the tests use: both passes in one
sequence, see `agentmem.models.reader.sequence`. Answers are written by
`agentmem.models.reader.reader`, which makes the memories' states once and keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from agentmem.errors import InputError, ModelError
from agentmem.models.reader.attention import MOVING_ATTENTION, block_mask, masks_for, text_mask
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.lora import TokenGates, add_adapters
from agentmem.models.reader.rotary import rotations
from agentmem.models.reader.selection import keep_surprising
from agentmem.models.reader.sequence import IGNORED, MEMORY, PADDING


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Reading sequences side by side, padded; see `ReadingSequence`. All have shape (B, T).

    Attributes:
        ids: int64.
        kinds: int64; `PADDING` behind a sequence's end.
        segments: int64; -1 behind the end.
        positions: int64.
        moves: int64.
        labels: int64.
        weights: float32.
    """

    ids: Tensor
    kinds: Tensor
    segments: Tensor
    positions: Tensor
    moves: Tensor
    labels: Tensor
    weights: Tensor

    def to(self, device: torch.device | str) -> ReadingBatch:
        """The same batch on a device."""
        return ReadingBatch(
            *(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__)
        )


class ReadingModel(nn.Module):
    """The language model, its adapters, and a vector that marks the kept tokens of each ratio."""

    def __init__(self, lm: Any, config: ReaderConfig) -> None:
        """Freeze a language model and put adapters into it, in place.

        Args:
            lm: A Hugging Face causal language model, built as Llama is.
            config: Says the ranks, and for which ratios there are marks.

        Raises:
            ModelError: it has no decoder layers where Llama has them.
        """
        super().__init__()
        if not hasattr(getattr(lm, "model", None), "layers"):
            raise ModelError(
                f"{type(lm).__name__} is not built as Llama is: a reader can be made of models "
                f"such as Llama, Qwen, Mistral and Gemma"
            )
        lm.set_attn_implementation(MOVING_ATTENTION)
        self.config = config
        self.lm = lm.requires_grad_(False)
        self.gates = TokenGates()
        self.adapted = add_adapters(
            lm.model.layers,
            self.gates,
            {"text": config.text_rank, "memory": config.memory_rank},
        )
        compressing = [ratio for ratio in config.ratios if ratio > 1]
        self.marks = nn.ParameterDict(
            {str(ratio): nn.Parameter(torch.zeros(lm.config.hidden_size)) for ratio in compressing}
        )

    def trainable(self) -> dict[str, nn.Parameter]:
        """What is trained and saved, by name: adapters and marks."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def hidden(self, batch: ReadingBatch, ratio: int) -> Tensor:
        """States of the last layer, normalized, for each position: (B, T, H).

        Args:
            batch: What is read.
            ratio: Tokens per kept state; 0 reads the sequence as plain text.

        Raises:
            InputError: the reader was not made for this ratio.
        """
        kinds = batch.kinds
        text = (kinds != PADDING)[..., None].float()
        if ratio == 0:
            with self.gates.set(text=text):
                return self._states(batch, None)
        kept = kinds == MEMORY
        if ratio > 1:
            kept = keep_surprising(self.surprisal(batch), kinds, batch.segments, ratio)
        memory = kept[..., None].float() if ratio > 1 else None
        with self.gates.set(text=text, memory=memory):
            return self._states(batch, kept, ratio)

    def loss(self, batch: ReadingBatch, ratio: int) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the labels in nats, weighted, and of each label.

        Args:
            batch: Sequences with labels.
            ratio: As in `hidden`.

        Returns:
            The weighted mean, a scalar; and the losses of all labels in order, float (N,).
        """
        hidden = self.hidden(batch, ratio)
        # A label stands at its own position and is predicted from the one before.
        wanted = batch.labels[:, 1:] != IGNORED
        logits = self.logits(hidden[:, :-1][wanted])
        losses = functional.cross_entropy(logits, batch.labels[:, 1:][wanted], reduction="none")
        weights = batch.weights[:, 1:][wanted]
        return (losses * weights).sum() / weights.sum().clamp(min=1e-6), losses.detach()

    def mark(self, ratio: int) -> Tensor:
        """The vector that is added to a kept token's embedding, (H,).

        Raises:
            InputError: the reader was not made for this ratio.
        """
        if str(ratio) not in self.marks:
            known = ", ".join(map(str, self.config.ratios))
            raise InputError(f"ratio={ratio!r}: this reader was made for {known}")
        mark: Tensor = self.marks[str(ratio)]
        return mark

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of all tokens as the language model gives them, float32 (..., V).

        Args:
            hidden: States of its last layer, normalized, (..., H).
        """
        scores: Tensor = self.lm.lm_head(hidden).float()
        cap = getattr(self.lm.config, "final_logit_softcapping", None)
        return scores if cap is None else torch.tanh(scores / cap) * cap

    @torch.no_grad()
    def surprisal(self, batch: ReadingBatch) -> Tensor:
        """The frozen model's surprisal at each memory token, in nats, float (B, T); else 0."""
        memory = batch.kinds == MEMORY
        end = int(memory.any(dim=0).nonzero().max()) + 1 if bool(memory.any()) else 1
        short = ReadingBatch(*(getattr(batch, name)[:, :end] for name in batch.__slots__))
        hidden = self._states(short, short.kinds == MEMORY)
        wanted = memory[:, 1:end]
        result = torch.zeros(batch.ids.shape, dtype=torch.float32, device=batch.ids.device)
        before = hidden[:, :-1][wanted]
        tokens = short.ids[:, 1:][wanted]
        # In parts: a vocabulary of logits for each memory token would not fit.
        parts = [
            functional.cross_entropy(self.logits(h), t, reduction="none")
            for h, t in zip(torch.split(before, 8192), torch.split(tokens, 8192), strict=True)
        ]
        if parts:
            result[:, 1:end][wanted] = torch.cat(parts)
        return result

    def pass_inputs(self, batch: ReadingBatch, kept: Tensor | None) -> dict[str, Any]:
        """What the language model needs to know to run over a batch, beside its embeddings.

        Args:
            batch: What is read.
            kept: Which memory tokens branches see, bool (B, T); None reads plain text.
        """
        if kept is None:
            seen = batch.positions + batch.moves
            mask = text_mask(batch.kinds, batch.segments)
            return {
                "attention_mask": masks_for(self.lm, mask, seen, seen),
                "position_ids": seen,
            }
        keys = torch.cat([batch.positions, batch.positions + batch.moves], dim=1)
        mask = block_mask(batch.kinds, batch.segments, kept)
        return {
            "attention_mask": masks_for(self.lm, mask, batch.positions, keys),
            "position_ids": batch.positions,
            "moved": rotations(self.lm, batch.moves),
        }

    def _states(self, batch: ReadingBatch, kept: Tensor | None, ratio: int = 1) -> Tensor:
        embedded = self.lm.get_input_embeddings()(batch.ids)
        if kept is not None and ratio > 1:
            embedded = embedded + kept[..., None] * self.mark(ratio).to(embedded.dtype)
        output = self.lm.model(
            inputs_embeds=embedded, use_cache=False, **self.pass_inputs(batch, kept)
        )
        states: Tensor = output.last_hidden_state
        return states
