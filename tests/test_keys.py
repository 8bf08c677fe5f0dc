"""The key encoder: one unit vector per chunk, whatever stands beside it in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModel

from agentmem.models.keys.configuration import KeyEncoderConfig
from agentmem.models.keys.modeling import KeyEncoder
from agentmem.testing import tiny_model

VOCAB, STATES, KEY = 384, 24, 20
lengths_of_rows = st.lists(st.integers(1, 30), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def keys() -> KeyEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = KeyEncoder(
            KeyEncoderConfig(vocab_size=VOCAB, state_size=STATES, hidden_size=28, key_dims=KEY)
        )
        for module in (model.mix, model.weigh):  # biases start at zero; trained ones are not
            torch.nn.init.normal_(module.bias)  # type: ignore[arg-type]
    return model.requires_grad_(False)


def batch_of(lengths: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, states and mask; what stands in the padding is as random as the rest."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    ids = torch.randint(0, VOCAB, shape, generator=generator)
    states = torch.randn(*shape, STATES, generator=generator)
    return ids, states, torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@given(lengths=lengths_of_rows, seed=seeds)
@examples
def test_keys_have_unit_norm(keys: KeyEncoder, lengths: list[int], seed: int) -> None:
    key = keys(*batch_of(lengths, seed))
    assert key.shape == (len(lengths), KEY)
    close(key.norm(dim=-1), torch.ones(len(lengths)))


@given(lengths=lengths_of_rows, seed=seeds)
@examples
def test_padding_changes_nothing(keys: KeyEncoder, lengths: list[int], seed: int) -> None:
    ids, states, mask = batch_of(lengths, seed)
    together = keys(ids, states, mask)
    for row, length in enumerate(lengths):
        cut = (slice(row, row + 1), slice(length))
        close(keys(ids[cut], states[cut], mask[cut])[0], together[row])


@given(lengths=lengths_of_rows, seed=seeds)
@examples
def test_the_order_of_a_batch_changes_nothing(
    keys: KeyEncoder, lengths: list[int], seed: int
) -> None:
    ids, states, mask = batch_of(lengths, seed)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    close(keys(ids[order], states[order], mask[order]), keys(ids, states, mask)[order])


def test_every_part_of_the_input_matters(keys: KeyEncoder) -> None:
    ids, states, mask = batch_of([12], 0)
    key = keys(ids, states, mask)
    for place in (0, 5, 11):
        other_ids, other_states = ids.clone(), states.clone()
        other_ids[0, place] = (ids[0, place] + 1) % VOCAB
        other_states[0, place] += 1
        assert not torch.allclose(keys(other_ids, states, mask), key, atol=1e-4)
        assert not torch.allclose(keys(ids, other_states, mask), key, atol=1e-4)
    # Neighbours are mixed, so words in another order are another key.
    turned = torch.arange(11, -1, -1)
    assert not torch.allclose(keys(ids[:, turned], states[:, turned], mask), key, atol=1e-4)


def test_a_gradient_reaches_every_parameter(keys: KeyEncoder) -> None:
    ids, states, mask = batch_of([9, 4], 0)
    weights = list(keys.parameters())
    keys.requires_grad_(True)
    score = (keys(ids, states, mask) * torch.arange(KEY)).sum()
    gradients = torch.autograd.grad(score, weights)
    keys.requires_grad_(False)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)


def test_comes_back_from_a_folder(keys: KeyEncoder, tmp_path: Path) -> None:
    keys.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), KeyEncoderConfig)
    for kind in (KeyEncoder, AutoModel):
        found = kind.from_pretrained(tmp_path)
        assert isinstance(found, KeyEncoder)
        assert all(map(torch.equal, found.parameters(), keys.parameters()))


class TestInABundle:
    """The same promises with real encoder states, through the bundle's own batching."""

    @given(lengths=st.lists(st.integers(1, 256), min_size=1, max_size=6), seed=seeds)
    @settings(max_examples=10, deadline=None)
    def test_chunk_and_query_agree(self, lengths: list[int], seed: int) -> None:
        model = tiny_model()
        rng = np.random.default_rng(seed)
        chunks = [rng.integers(0, VOCAB, length).tolist() for length in lengths]
        encoded = [item.key for item in model.encode(chunks)]
        backwards = [item.key for item in model.encode(chunks[::-1])][::-1]
        for chunk, key, other in zip(chunks, encoded, backwards, strict=True):
            assert (key.dtype, key.shape) == (np.dtype(np.float32), (model.key_dims,))
            assert float(np.linalg.norm(key)) == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(other, key, atol=1e-5)
            np.testing.assert_allclose(model.query_key(chunk), key, atol=1e-5)

    def test_the_same_call_gives_the_same_bytes(self) -> None:
        model = tiny_model()
        chunks = [[9, 10, 11], list(range(8, 200)), [50]]
        first, second = (model.encode(chunks) for _ in range(2))
        assert [item.key.tobytes() for item in first] == [item.key.tobytes() for item in second]
        assert model.query_key([9, 10]).tobytes() == model.query_key([9, 10]).tobytes()

    def test_a_long_query_is_read_up_to_the_longest_chunk(self) -> None:
        model = tiny_model()
        ids = list(range(8, 384))
        np.testing.assert_array_equal(
            model.query_key(ids), model.query_key(ids[: model.max_tokens])
        )

    def test_mixed_precision_around_it_changes_nothing(self) -> None:
        model = tiny_model()
        key = model.query_key([9, 10, 11])
        with torch.autocast("cpu", torch.bfloat16):
            assert model.query_key([9, 10, 11]).tobytes() == key.tobytes()
            assert model.encode([[9, 10, 11]])[0].key.tobytes() == key.tobytes()
