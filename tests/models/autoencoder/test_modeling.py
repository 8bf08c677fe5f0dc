"""The autoencoder: sizes, grid initialization, and the arithmetic of a training step."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.initialization import init_on_grid
from agentmem.models.autoencoder.modeling import LEVELS, MemoryAutoencoder

SMALL: dict[str, Any] = {
    "quantizations": {"fine": 1.0, "middle": 2.0, "coarse": 3.5},
    "vocab_size": 384,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "fourier_octaves": 5,
}


def on_grid(seed: int = 0, **sizes: Any) -> MemoryAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MemoryAutoencoder(AutoencoderConfig(**{**SMALL, **sizes}))
    init_on_grid(model, seed)
    return model


@pytest.fixture(scope="module")
def model() -> MemoryAutoencoder:
    """One in which every weight matters: shaken off the grid, where blocks do nothing."""
    model = on_grid()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            size = 0.06 * weight.std() + 0.002
            weight.add_(size * torch.randn(weight.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def folder(model: MemoryAutoencoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    model.save_pretrained(folder)
    return folder


def some_ids(rows: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, SMALL["vocab_size"], (rows, length), generator=generator)


def ragged(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random ids (B, T) and the mask of rows of these lengths; what is padding is random too."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return some_ids(len(lengths), max(lengths), seed), mask


class TestConfig:
    def test_a_memory_vector_is_its_tokens_slots_side_by_side(self) -> None:
        assert AutoencoderConfig(slot_dims=2, tokens_per_vector=16).vector_dims == 32
        assert AutoencoderConfig(slot_dims=3, tokens_per_vector=8).vector_dims == 24

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"hidden_size": 100, "num_attention_heads": 6}, "hidden_size=100 must split"),
            ({"hidden_size": 60, "num_attention_heads": 4}, "heads of even width"),
            ({"max_tokens": 250}, "max_tokens=250 must be a multiple of tokens_per_vector=16"),
            ({"num_attention_heads": 0}, "num_attention_heads=0 must be positive"),
            ({"vocab_size": 0}, "vocab_size=0 must be positive"),
            ({"slot_dims": -2}, "slot_dims=-2 must be positive"),
            ({"tokens_per_vector": 0}, "tokens_per_vector=0 must be positive"),
            ({"max_tokens": 0}, "max_tokens=0 must be positive"),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_sizes_that_cannot_be_are_refused(self, sizes: dict[str, int], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AutoencoderConfig(**sizes)

    def test_comes_back_from_a_folder(self, tmp_path: Path) -> None:
        config = AutoencoderConfig(**SMALL, slot_dims=3, rope_theta=500.0)
        config.save_pretrained(tmp_path)
        assert AutoencoderConfig.from_pretrained(tmp_path) == config


class TestSaved:
    def test_comes_back_with_the_same_weights(self, model: MemoryAutoencoder, folder: Path) -> None:
        found = MemoryAutoencoder.from_pretrained(folder)
        assert found.state_dict().keys() == model.state_dict().keys()
        for name, weight in found.state_dict().items():
            assert torch.equal(weight, model.state_dict()[name]), name

    def test_the_head_is_the_embedding(self, folder: Path) -> None:
        found = MemoryAutoencoder.from_pretrained(folder)
        assert found.head.weight is found.embedding.weight
        with safe_open(folder / "model.safetensors", "pt") as file:
            names = set(file.keys())
        assert "embedding.weight" in names
        assert "head.weight" not in names

    def test_bfloat16_comes_back_as_float32(self, tmp_path: Path) -> None:
        model = on_grid()
        model.bfloat16().save_pretrained(tmp_path)
        found = MemoryAutoencoder.from_pretrained(tmp_path)
        assert {weight.dtype for weight in found.parameters()} == {torch.float32}
        assert torch.equal(found.embedding.weight, model.embedding.weight.float())


class TestGridInitialization:
    @pytest.mark.parametrize(
        "sizes",
        [
            pytest.param({}, id="two-dims"),
            pytest.param({"slot_dims": 3}, id="three-dims"),
            pytest.param({"slot_dims": 4, "fourier_octaves": 3}, id="four-dims"),
            pytest.param(
                {"vocab_size": 8192, "hidden_size": 192, "fourier_octaves": 7}, id="as-shipped"
            ),
        ],
    )
    @torch.no_grad()
    def test_every_token_is_regenerated_untrained(self, sizes: dict[str, int]) -> None:
        model = on_grid(**sizes)
        every = torch.randperm(
            model.config.vocab_size, generator=torch.Generator().manual_seed(2)
        ).reshape(-1, 128)
        output = model(every)
        assert output.correct == output.count == model.config.vocab_size
        assert output.loss < 0.01

    @torch.no_grad()
    def test_tokens_share_codes_where_one_dim_is_too_few(self) -> None:
        model = on_grid(slot_dims=1, quantizations={"fine": 1.0})
        every = torch.arange(SMALL["vocab_size"])[None]
        codes = (model.to_codes(model.encode_states(every, None), "fine") * LEVELS).round()
        distinct = set(codes.flatten().tolist())
        assert len(distinct) == 249  # of the 255, the flat ends left free
        # Of the tokens with one code, the decoder can only ever say one.
        assert model(every).correct == len(distinct)

    def test_the_seed_deals_the_codes(self) -> None:
        one, same, other = on_grid(0), on_grid(0), on_grid(1)
        assert all(map(torch.equal, one.parameters(), same.parameters()))
        with torch.no_grad():
            ids = some_ids(1, 50)
            first, second = (
                model.to_codes(model.encode_states(ids, None), "fine") for model in (one, other)
            )
        assert not torch.allclose(first, second, atol=0.1)

    def test_too_narrow_for_the_features(self) -> None:
        narrow = MemoryAutoencoder(
            AutoencoderConfig(**{**SMALL, "hidden_size": 32, "fourier_octaves": 8})
        )
        with pytest.raises(ValueError, match="needs 34 Fourier features, but hidden_size=32"):
            init_on_grid(narrow, 0)


class TestForward:
    @given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 99))
    @torch.no_grad()
    def test_padding_changes_nothing(
        self, model: MemoryAutoencoder, lengths: list[int], seed: int
    ) -> None:
        ids, mask = ragged(lengths, seed)
        codes = model.to_codes(model.encode_states(ids, mask), "fine")
        logits = model.decode_codes(codes, mask, "fine")
        for row, length in enumerate(lengths):
            alone = model.to_codes(model.encode_states(ids[row : row + 1, :length], None), "fine")
            torch.testing.assert_close(codes[row, :length], alone[0], atol=1e-5, rtol=1e-5)
            expected = model.decode_codes(codes[row : row + 1, :length], None, "fine")[0]
            torch.testing.assert_close(logits[row, :length], expected, atol=1e-3, rtol=1e-4)

    @pytest.mark.parametrize("noisy", [False, True], ids=["rounded", "noisy"])
    @pytest.mark.parametrize("quantization", ["fine", "middle", "coarse"])
    @torch.no_grad()
    def test_loss_and_accuracy_are_those_of_a_loop(
        self, model: MemoryAutoencoder, noisy: bool, quantization: str
    ) -> None:
        lengths = [7, 1, 20, 13]
        ids, mask = ragged(lengths)
        noise = torch.rand(4, 20, 2, generator=torch.Generator().manual_seed(3)) - 0.5
        output = model(ids, mask, quantization=quantization, noise=noise if noisy else None)
        width = model.config.quantizations[quantization]

        losses: list[float] = []
        correct = 0
        for row, length in enumerate(lengths):
            codes = model.to_codes(
                model.encode_states(ids[row : row + 1, :length], None), quantization
            )
            if noisy:
                codes = codes + noise[row : row + 1, :length] * width / 127
            else:
                most = 127 // width
                steps = (codes * 127 / width).round().clamp(-most, most)
                codes = (steps * width).round() / 127
            said = model.decode_codes(codes, None, quantization)[0].log_softmax(-1)
            for place, token in enumerate(ids[row, :length].tolist()):
                losses.append(-float(said[place, token]))
                correct += int(said[place].argmax()) == token
        assert output.count == sum(lengths)
        assert output.correct == correct
        assert 0 < correct < sum(lengths)
        assert float(output.loss) == pytest.approx(sum(losses) / len(losses), rel=1e-4)

    @torch.no_grad()
    def test_no_mask_means_no_padding(self, model: MemoryAutoencoder) -> None:
        ids = some_ids(3, 9)
        bare, masked = model(ids), model(ids, torch.ones_like(ids, dtype=torch.bool))
        assert float(bare.loss) == pytest.approx(float(masked.loss))
        assert bare.count == masked.count == 27

    @pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
    def test_what_is_rounded_is_what_would_be_stored(
        self, model: MemoryAutoencoder, precision: torch.dtype
    ) -> None:
        seen: list[Tensor] = []
        slots = model.config.slot_dims
        hook = model.from_slot["fine"].register_forward_pre_hook(
            lambda module, given: seen.append(given[0][..., :slots])
        )
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            model(some_ids(2, 30))
        hook.remove()
        codes = seen[0] * LEVELS
        # Whole int8 steps also in mixed precision: the decoder will meet no other values.
        torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)

    def test_rounding_passes_the_gradient_straight_through(self, model: MemoryAutoencoder) -> None:
        # Rounding is noise of a known value; its gradient must be that of noise.
        ids, quantization = some_ids(3, 12), "middle"
        with torch.no_grad():
            codes = model.to_codes(model.encode_states(ids, None), quantization)
            steps = codes * LEVELS / model.config.quantizations[quantization]
        used = {
            name: weight
            for name, weight in model.named_parameters()
            if not name.endswith(("fine.weight", "fine.bias", "coarse.weight", "coarse.bias"))
        }
        gradients: list[list[Tensor]] = []
        losses: list[float] = []
        for noise in (None, steps.round() - steps):
            output = model(ids, quantization=quantization, noise=noise)
            gradients.append(list(torch.autograd.grad(output.loss, list(used.values()))))
            losses.append(output.loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        for (name, _), rounded, noisy in zip(used.items(), *gradients, strict=True):
            assert rounded.abs().max() > 0, f"no gradient reaches {name}"
            scale = float(noisy.abs().max())
            torch.testing.assert_close(rounded, noisy, atol=2e-3 * scale, rtol=1e-2)

    def test_noise_is_scaled_by_the_width(self, model: MemoryAutoencoder) -> None:
        model = copy.deepcopy(model)
        for maps in (model.to_slot, model.from_slot):
            maps["middle"].load_state_dict(maps["fine"].state_dict())
        ids = some_ids(2, 10)
        noise = torch.rand(2, 10, 2, generator=torch.Generator().manual_seed(4)) - 0.5
        with torch.no_grad():
            wide, narrow = (
                model(ids, quantization="middle", noise=noise),
                model(ids, quantization="fine", noise=2 * noise),
            )
        assert float(wide.loss) == pytest.approx(float(narrow.loss), rel=1e-5)
