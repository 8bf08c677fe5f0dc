"""A low-rank adapter on every linear layer of a frozen language model, gated per token.

With the gate off, the model is the original one. LoRA: Hu et al. 2021, arXiv 2106.09685.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenGates(nn.Module):
    """To which tokens of the current pass the adapters apply; shared by all layers of a model.

    Attributes:
        text: 1 where the adapters apply, else 0; float (B, T, 1). None switches them off.
    """

    text: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.text = None

    @contextmanager
    def set(self, *, text: Tensor | None = None) -> Iterator[None]:
        """Set the gate inside the block; the previous one is restored afterwards."""
        before = self.text
        self.text = text
        try:
            yield
        finally:
            self.text = before


class GatedLoRALinear(nn.Module):
    """A frozen linear layer with a low-rank update.

    Shapes: input (B, T, in), output (B, T, out).
    """

    def __init__(self, base: nn.Linear, gates: TokenGates, rank: int) -> None:
        super().__init__()
        self.base = base
        # In a list, to keep it out of the module tree: one object for all layers.
        self._gates = [gates]
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The frozen layer's output, with the update where the gate is on."""
        y: Tensor = self.base(x)
        gate = self._gates[0].text
        if gate is None:
            return y
        narrow = functional.linear(x, self.down.to(x.dtype)) * gate.to(x.dtype)
        up = self.up.to(x.dtype)
        update = torch.addmm(y.flatten(0, -2), narrow.flatten(0, -2), up.T)
        return update.view_as(y)


def add_adapters(layers: nn.Module, gates: TokenGates, rank: int) -> dict[str, GatedLoRALinear]:
    """Add adapters to every linear layer below a module, in place.

    Args:
        layers: The decoder layers of a language model, whose parameters are frozen.
        gates: Selects, in each pass, the tokens that the adapters apply to.
        rank: Rank of each adapter.

    Returns:
        The layers that were wrapped, by their names below ``layers``.
    """
    wrapped: dict[str, GatedLoRALinear] = {}
    for name, module in list(layers.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            wrapped[name] = GatedLoRALinear(module, gates, rank)
            setattr(layers.get_submodule(parent) if parent else layers, attribute, wrapped[name])
    return wrapped
