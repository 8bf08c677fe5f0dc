"""From a slot of a memory to an embedding of a language model's width.

The code of a slot is a place on the autoencoder's lattice. What it stands for is known to the
frozen decoder alone; a linear map of two numbers could not tell eight thousand tokens apart. Three
ways of asking it, from the quickest to the most general:

- ``codes``: which token the decoder reads in a code that stands alone, once for every code; a
  slot's embedding is then the language model's own embedding of that token (for a model with
  another tokenizer: the mean of the embeddings of its text). Reading starts from embeddings the
  model knows.
- ``states``: the frozen decoder's state at the slot, with its context, through a small network.
- ``linear``: the bare dims, lifted as the decoder lifts them, through one matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from agentmem.errors import ConfigError
from agentmem.models.autoencoder.codes import CODES, cells_of, read_codes
from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.reader.configuration import AdapterKind
from agentmem.models.reader.slots import Slots

# A language model's token embedding: ids (...) to input embeddings (..., H).
Embedding = Callable[[Tensor], Tensor]


class SlotAdapter(nn.Module, ABC):
    """Slots (G, N, T, s) to embeddings (G, N, T, H)."""

    @abstractmethod
    def forward(self, slots: Slots, embedding: Embedding) -> Tensor:
        """One embedding per slot.

        Args:
            slots: Of G groups of N memories.
            embedding: The language model's. Not its bare table: some models scale what they
                look up.
        """


class CodeAdapter(SlotAdapter):
    """The language model's embedding of the token that a code stands for."""

    def __init__(self, cells: int, tokens: int, pieces: int) -> None:
        """An empty table.

        Args:
            cells: Number of codes, ``255 ** s``.
            tokens: Vocabulary of the bundle.
            pieces: Most tokens of the language model for one of the bundle's.
        """
        super().__init__()
        self.register_buffer("tokens", torch.zeros(cells, dtype=torch.int32))
        self.register_buffer("pieces", torch.zeros(tokens, pieces, dtype=torch.int32))
        self.register_buffer("shares", torch.zeros(tokens, pieces))

    def forward(self, slots: Slots, embedding: Embedding) -> Tensor:
        """See `SlotAdapter.forward`."""
        token = cast("Tensor", self.tokens)[cells_of(slots.codes)]
        pieces, shares = cast("Tensor", self.pieces)[token], cast("Tensor", self.shares)[token]
        if pieces.shape[-1] == 1:
            return embedding(pieces[..., 0])
        rows = embedding(pieces)  # (G, N, T, P, H)
        return (rows * shares[..., None].to(rows.dtype)).sum(-2)


class StateAdapter(SlotAdapter):
    """The frozen decoder's states, through a small network."""

    def __init__(self, autoencoder: MemoryAutoencoder, hidden_size: int) -> None:
        super().__init__()
        # In a tuple: its weights are the bundle's, and stay out of this module's.
        self._frozen = (autoencoder,)
        width = autoencoder.config.hidden_size
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, hidden_size)

    def forward(self, slots: Slots, embedding: Embedding) -> Tensor:
        """See `SlotAdapter.forward`."""
        frozen = self._frozen[0]
        mask = slots.mask.flatten(0, 1)
        # Memories that a group lacks are all padding, which attention cannot take.
        mask = mask | (~mask.any(-1, keepdim=True))
        with torch.no_grad():
            # The bundle may stay on the CPU while the language model is elsewhere.
            tape = slots.codes.flatten(0, 1).to(frozen.device, frozen.dtype) / LEVELS
            finest = next(iter(frozen.config.densities))
            states = frozen.decode_states(tape, mask.to(frozen.device), finest)
        states = states.reshape(*slots.codes.shape[:3], -1).to(slots.codes.device)
        made: Tensor = self.down(nn.functional.gelu(self.up(states)))
        return made


class LinearAdapter(SlotAdapter):
    """The lifted dims of a slot, through one matrix."""

    def __init__(self, autoencoder: MemoryAutoencoder, hidden_size: int) -> None:
        super().__init__()
        self._frozen = (autoencoder,)
        config = autoencoder.config
        lifted = config.slot_dims * (1 + 2 * config.lift_octaves)
        self.map = nn.Linear(lifted, hidden_size)

    def forward(self, slots: Slots, embedding: Embedding) -> Tensor:
        """See `SlotAdapter.forward`."""
        made: Tensor = self.map(self._frozen[0].lift(slots.codes / LEVELS))
        return made


def empty_adapter(
    kind: AdapterKind, autoencoder: MemoryAutoencoder, hidden_size: int, *, pieces: int
) -> SlotAdapter:
    """An adapter to load weights into.

    Raises:
        ConfigError: a table of all codes would be too large.
    """
    if kind == "states":
        return StateAdapter(autoencoder, hidden_size)
    if kind == "linear":
        return LinearAdapter(autoencoder, hidden_size)
    config = autoencoder.config
    if config.slot_dims > 2:
        raise ConfigError(
            f"adapter 'codes' has a table of all codes, too large at slot_dims="
            f"{config.slot_dims!r}: take 'states'"
        )
    return CodeAdapter(CODES**config.slot_dims, config.vocab_size, pieces)


def fresh_adapter(
    kind: AdapterKind,
    autoencoder: MemoryAutoencoder,
    hidden_size: int,
    pieces: Sequence[Sequence[int]],
) -> SlotAdapter:
    """An adapter to train.

    Args:
        kind: Which.
        autoencoder: The frozen one of the bundle.
        hidden_size: H of the language model.
        pieces: For each token of the bundle, the language model's ids of its text; may be empty.
    """
    most = max(1, max(map(len, pieces)))
    adapter = empty_adapter(kind, autoencoder, hidden_size, pieces=most)
    if isinstance(adapter, CodeAdapter):
        table, shares = cast("Tensor", adapter.pieces), cast("Tensor", adapter.shares)
        for row, ids in enumerate(pieces):
            if ids:
                table[row, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
                shares[row, : len(ids)] = 1 / len(ids)
        cast("Tensor", adapter.tokens).copy_(read_codes(autoencoder))
    return adapter
