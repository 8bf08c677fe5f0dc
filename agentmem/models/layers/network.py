"""A network with its configuration: fresh, loaded from a folder, or saved to one.

A folder holds ``config.json`` and ``model.safetensors`` in the layout of Hugging Face's
`save_pretrained`. The networks are small modules of plain torch: transformers, whose import takes
twice as long as that of torch itself, would add nothing to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.layers.configuration import NetworkConfig

WEIGHTS = "model.safetensors"
# Whether a network is being built for weights from a file: fresh ones would be overwritten.
_LOADING: ContextVar[bool] = ContextVar("_LOADING", default=False)

ConfigT = TypeVar("ConfigT", bound=NetworkConfig)


class Network(nn.Module, Generic[ConfigT]):
    """Base of the networks. A subclass builds its layers, and then calls `init_weights`.

    Attributes:
        config: Its sizes.
        config_class: The class of its configuration.
        tied: Names of weights that are another weight under a second name.
    """

    config: ConfigT
    config_class: ClassVar[type[NetworkConfig]]
    tied: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: ConfigT) -> None:
        super().__init__()
        self.config = config

    def init_weights(self) -> None:
        """Draw fresh weights from torch's global generator, and tie those that are tied."""
        if not _LOADING.get():
            self.apply(self._init_weights)
        for name, other in self.tied.items():
            module, _, attribute = name.rpartition(".")
            setattr(self.get_submodule(module), attribute, self.get_parameter(other))

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module; its own modules have theirs already."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a network on the CPU, in float32 whatever it was saved in, for inference.

        Raises:
            ModelNotFoundError: the folder lacks a file.
            ModelError: its configuration is invalid, or the weights do not fit it.
        """
        folder = Path(folder)
        config = cls.config_class.from_pretrained(folder)
        # Nothing is allocated for sizes that no weights bear out.
        if not (folder / WEIGHTS).is_file():
            raise ModelNotFoundError(f"no model in {str(folder)!r}: it has no {WEIGHTS}")
        # The caller's random numbers, default device and inference mode must not matter.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            loading = _LOADING.set(True)
            try:
                network = cls(config)  # type: ignore[arg-type]
            finally:
                _LOADING.reset(loading)
            network.to(torch.device("cpu"), torch.float32)
            network._load(folder)
        return network.train(False)

    @torch.no_grad()
    def _load(self, folder: Path) -> None:
        try:
            weights = load_file(folder / WEIGHTS)
            held = {name: weights[other] for name, other in self.tied.items() if other in weights}
            self.load_state_dict({**weights, **held})  # copied, and converted to float32
        except (RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"{WEIGHTS} in {str(folder)!r} does not fit its config.json"
            ) from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the configuration and the weights; tied weights are written once."""
        folder = Path(folder)
        dtype = str(self.dtype).removeprefix("torch.")
        self.config.save_pretrained(folder, architectures=[type(self).__name__], dtype=dtype)
        weights = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        save_file(
            {name: weight.detach().cpu().contiguous() for name, weight in weights.items()},
            folder / WEIGHTS,
            metadata={"format": "pt"},
        )
