"""`MemoryAutoencoder` behind the interface that the codec computes with: the reference."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.runtime import Floats
from agentmem.models.layers.inference import inference


class TorchAutoencoder:
    """See `agentmem.models.autoencoder.runtime.AutoencoderRuntime`."""

    def __init__(self, model: MemoryAutoencoder) -> None:
        """Wrap a model in float32, whose weights must not change any more."""
        self._single = model.train(False)
        self.config: AutoencoderConfig = model.config

    @inference()
    def encode(
        self, ids: NDArray[np.int64], mask: NDArray[np.bool_], *, double: bool = False
    ) -> Floats:
        """See `AutoencoderRuntime.encode`."""
        model = self._double if double else self._single
        return model.encode_states(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    @inference()
    def to_codes(self, states: Floats, quantization: str) -> Floats:
        """See `AutoencoderRuntime.to_codes`."""
        return self._like(states).to_codes(torch.from_numpy(states), quantization).numpy()

    @inference()
    def decode(
        self,
        codes: NDArray[np.int8],
        mask: NDArray[np.bool_],
        quantization: str,
        *,
        double: bool = False,
    ) -> Floats:
        """See `AutoencoderRuntime.decode`."""
        model = self._double if double else self._single
        values = torch.from_numpy(codes).to(model.dtype) / LEVELS
        return model.decode_states(values, torch.from_numpy(mask), quantization).numpy()

    @inference()
    def to_logits(self, states: Floats) -> Floats:
        """See `AutoencoderRuntime.to_logits`."""
        logits: Floats = self._like(states).head(torch.from_numpy(states)).numpy()
        return logits

    def _like(self, states: Floats) -> MemoryAutoencoder:
        return self._double if states.dtype == np.float64 else self._single

    @cached_property
    def _double(self) -> MemoryAutoencoder:
        return deepcopy(self._single).double()
