"""Two low-rank adapters on every linear layer of a frozen language model, gated per token.

The *text* adapter applies to all tokens that are read and written with memories; the *memory*
adapter applies in addition to the kept tokens of a compressed memory, which take over the content
of the dropped ones. With both off, the model is the original one.

LoRA: Hu et al. 2021, arXiv 2106.09685. A separate adapter for the kept tokens of a context:
KV-Distill, arXiv 2503.10337.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Role = Literal["text", "memory"]


class TokenGates(nn.Module):
    """Which adapters apply to each token of the current pass; shared by all layers of a model.

    Attributes:
        text: 1 where the text adapter applies, else 0; float (B, T, 1). None switches it off.
        memory: The same for the memory adapter.
    """

    text: Tensor | None
    memory: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.text = None
        self.memory = None

    @contextmanager
    def set(self, *, text: Tensor | None = None, memory: Tensor | None = None) -> Iterator[None]:
        """Set the gates inside the block; the previous ones are restored afterwards."""
        before = self.text, self.memory
        self.text, self.memory = text, memory
        try:
            yield
        finally:
            self.text, self.memory = before


class GatedLoRALinear(nn.Module):
    """A frozen linear layer with a low-rank update for text and one for memories.

    Shapes: input (B, T, in), output (B, T, out).
    """

    def __init__(self, base: nn.Linear, gates: TokenGates, ranks: dict[Role, int]) -> None:
        super().__init__()
        self.base = base
        # In a list, to keep it out of the module tree: one object for all layers.
        self._gates = [gates]
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        for role, rank in ranks.items():
            if rank:
                start = torch.randn(rank, base.in_features) / base.in_features**0.5
                self.down[role] = nn.Parameter(start)
                self.up[role] = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The frozen layer's output, with the updates of the adapters that are on."""
        y: Tensor = self.base(x)
        gates = self._gates[0]
        active = [
            (role, gate)
            for role, gate in (("text", gates.text), ("memory", gates.memory))
            if gate is not None and role in self.down
        ]
        if not active:
            return y
        # The active adapters as one adapter of their summed rank: one product, one addition.
        down = torch.cat([self.down[role] for role, _ in active]).to(x.dtype)
        up = torch.cat([self.up[role] for role, _ in active], dim=1).to(x.dtype)
        gate = torch.cat(
            [
                gate.to(x.dtype).expand(*gate.shape[:-1], len(self.down[role]))
                for role, gate in active
            ],
            dim=-1,
        )
        narrow = functional.linear(x, down) * gate
        update = torch.addmm(y.flatten(0, -2), narrow.flatten(0, -2), up.T)
        return update.view_as(y)


def add_adapters(
    layers: nn.Module, gates: TokenGates, ranks: dict[Role, int]
) -> dict[str, GatedLoRALinear]:
    """Add adapters to every linear layer below a module, in place.

    Args:
        layers: The decoder layers of a language model, whose parameters are frozen.
        gates: Selects, in each pass, which adapters apply to which token.
        ranks: Rank of each adapter; 0 leaves it out.

    Returns:
        The layers that were wrapped, by their names below ``layers``.
    """
    wrapped: dict[str, GatedLoRALinear] = {}
    for name, module in list(layers.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            wrapped[name] = GatedLoRALinear(module, gates, ranks)
            setattr(layers.get_submodule(parent) if parent else layers, attribute, wrapped[name])
    return wrapped
