"""Input embeddings as servers take them for a prompt."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor


def to_base64(embeds: Tensor) -> str:
    """Embeddings (1, P, H) as vLLM's ``prompt_embeds`` takes them.

    Returns:
        What `torch.save` writes of the tensor (P, H), on the CPU and in its own dtype, in base64
        without line ends.
    """
    file = io.BytesIO()
    # A view would bring along all that it is a view of.
    torch.save(embeds.detach()[0].cpu().clone(), file)
    return base64.b64encode(file.getvalue()).decode("ascii")
