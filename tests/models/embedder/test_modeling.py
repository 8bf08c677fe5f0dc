"""The built-in embedder: one unit vector per chunk, independent of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agentmem import Document, Memory, Message
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.retrieval.fusion import TAIL
from agentmem.testing import tiny_model

VOCAB, DIMS = 384, 20
lengths_of_rows = st.lists(st.integers(1, 30), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def embedder() -> EmbedderModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "embedding_dims": DIMS}
        model = EmbedderModel(EmbedderConfig(vocab_size=VOCAB, **sizes))
        torch.nn.init.normal_(model.weigh.bias)  # it starts at zero; a trained one is not
    return model.requires_grad_(False)


def batch_of(lengths: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """Ids and mask; what stands in the padding is as random as the rest."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    ids = torch.randint(0, VOCAB, shape, generator=generator)
    return ids, torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@given(lengths=lengths_of_rows, seed=seeds)
def test_embeddings_have_unit_norm(embedder: EmbedderModel, lengths: list[int], seed: int) -> None:
    embedding = embedder(*batch_of(lengths, seed))
    assert embedding.shape == (len(lengths), DIMS)
    close(embedding.norm(dim=-1), torch.ones(len(lengths)))


@given(lengths=lengths_of_rows, seed=seeds)
def test_padding_changes_nothing(embedder: EmbedderModel, lengths: list[int], seed: int) -> None:
    ids, mask = batch_of(lengths, seed)
    together = embedder(ids, mask)
    for row, length in enumerate(lengths):
        cut = (slice(row, row + 1), slice(length))
        close(embedder(ids[cut], mask[cut])[0], together[row])


@given(lengths=lengths_of_rows, seed=seeds)
def test_the_order_of_a_batch_changes_nothing(
    embedder: EmbedderModel, lengths: list[int], seed: int
) -> None:
    ids, mask = batch_of(lengths, seed)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    close(embedder(ids[order], mask[order]), embedder(ids, mask)[order])


def test_every_token_and_its_place_matter(embedder: EmbedderModel) -> None:
    ids, mask = batch_of([12], 0)
    embedding = embedder(ids, mask)
    for place in (0, 5, 11):
        other = ids.clone()
        other[0, place] = (ids[0, place] + 1) % VOCAB
        assert not torch.allclose(embedder(other, mask), embedding, atol=1e-4)
    # Words in another order are another key.
    assert not torch.allclose(embedder(ids.flip(1), mask), embedding, atol=1e-4)


def test_a_gradient_reaches_every_parameter(embedder: EmbedderModel) -> None:
    ids, mask = batch_of([9, 4], 0)
    weights = list(embedder.parameters())
    embedder.requires_grad_(True)
    score = (embedder(ids, mask) * torch.arange(DIMS)).sum()
    gradients = torch.autograd.grad(score, weights)
    embedder.requires_grad_(False)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"embedding_dims": 0}, "embedding_dims=0 must be positive"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0 must be positive"),
        # Rotary positions turn pairs of numbers.
        ({"hidden_size": 20, "num_attention_heads": 4}, "hidden_size=20 must be a multiple of twi"),
    ],
)
def test_sizes_that_cannot_be(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EmbedderConfig(**sizes)


def test_feed_forward_layers_are_four_times_as_wide_by_default() -> None:
    assert EmbedderConfig(hidden_size=32).intermediate_size == 128
    assert EmbedderConfig(hidden_size=32, intermediate_size=40).intermediate_size == 40


def test_comes_back_from_a_folder(embedder: EmbedderModel, tmp_path: Path) -> None:
    embedder.save_pretrained(tmp_path)
    assert EmbedderConfig.from_pretrained(tmp_path) == embedder.config
    found = EmbedderModel.from_pretrained(tmp_path)
    assert all(map(torch.equal, found.parameters(), embedder.parameters()))


class TestInABundle:
    """The same promises through the bundle's own batching."""

    @given(lengths=st.lists(st.integers(1, 256), min_size=1, max_size=6), seed=seeds)
    def test_chunk_and_query_agree(self, lengths: list[int], seed: int) -> None:
        model = tiny_model()
        rng = np.random.default_rng(seed)
        chunks = [rng.integers(0, VOCAB, length).tolist() for length in lengths]
        encoded = [item.embedding for item in model.encode(chunks)]
        backwards = [item.embedding for item in model.encode(chunks[::-1])][::-1]
        for chunk, embedding, other in zip(chunks, encoded, backwards, strict=True):
            assert (embedding.dtype, embedding.shape) == (
                np.dtype(np.float32),
                (model.embedder.dims,),
            )
            assert float(np.linalg.norm(embedding)) == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(other, embedding, atol=1e-5)
            np.testing.assert_allclose(model.embedder.embed_query(chunk), embedding, atol=1e-5)

    def test_the_same_call_gives_the_same_bytes(self) -> None:
        model = tiny_model()
        chunks = [[9, 10, 11], list(range(8, 200)), [50]]
        first, second = (model.encode(chunks) for _ in range(2))
        assert [item.embedding.tobytes() for item in first] == [
            item.embedding.tobytes() for item in second
        ]
        assert (
            model.embedder.embed_query([9, 10]).tobytes()
            == model.embedder.embed_query([9, 10]).tobytes()
        )

    def test_a_long_query_is_read_up_to_the_longest_chunk(self) -> None:
        model = tiny_model()
        ids = list(range(8, 384))
        np.testing.assert_array_equal(
            model.embedder.embed_query(ids),
            model.embedder.embed_query(ids[: model.codec.max_tokens]),
        )

    def test_mixed_precision_around_it_changes_nothing(self) -> None:
        model = tiny_model()
        embedding = model.embedder.embed_query([9, 10, 11])
        with torch.autocast("cpu", torch.bfloat16):
            assert model.embedder.embed_query([9, 10, 11]).tobytes() == embedding.tobytes()
            assert model.encode([[9, 10, 11]])[0].embedding.tobytes() == embedding.tobytes()

    def test_a_preface_affects_the_embedding_only(self) -> None:
        model = tiny_model()
        chunks, prefaces = [[9, 10, 11], [50], [60, 61]], [[20, 21], [], [22]]
        plain, named = model.encode(chunks), model.encode(chunks, prefaces=prefaces)
        for ids, preface, one, other in zip(chunks, prefaces, plain, named, strict=True):
            assert (other.packed, other.patch) == (one.packed, one.patch)
            np.testing.assert_allclose(
                other.embedding, model.embedder.embed_query([*preface, *ids]), atol=1e-5
            )
            assert np.allclose(other.embedding, one.embedding, atol=1e-3) == (preface == [])

    def test_as_many_prefaces_as_chunks(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            tiny_model().encode([[9], [10]], prefaces=[[20]])


class TestInAMemory:
    """A chunk's key knows who speaks, or what the document is called."""

    @pytest.mark.parametrize(
        ("added", "before"),
        [
            (Message("I booked a train.", name="Ana"), "Ana: "),
            (Message("I booked a train."), ""),
            (Document("I booked a train.", title="Plans"), "Plans\n"),
            (Document("I booked a train."), ""),
        ],
        ids=["speaker", "nobody", "title", "no title"],
    )
    def test_what_precedes_it(self, added: Message | Document, before: str) -> None:
        model = tiny_model()
        with Memory(":memory:", model=model) as memory:
            memory.add(added)
            asked = f"{before}I booked a train."
            (hit,) = memory.recall(asked, mode="vector")
            assert hit.text == "I booked a train."
            assert hit.score == pytest.approx(1, abs=1e-4)
            (other,) = memory.recall(f"x{asked}", mode="vector")
            assert other.score < 1 - 1e-3

    def test_a_new_text_keeps_its_speaker(self) -> None:
        with Memory(":memory:", model=tiny_model()) as memory:
            (old,) = memory.add(Message("I booked a train.", name="Ana")).ids
            memory.update(old, text="I booked a boat.")
            (hit,) = memory.recall("Ana: I booked a boat.", mode="vector")
            assert hit.score == pytest.approx(1, abs=1e-4)

    def test_a_long_title_leaves_room_for_the_text(self) -> None:
        model = tiny_model()
        title = "All that was ever said of trains, boats and other ways to travel, part one. " * 40
        with Memory(":memory:", model=model) as memory:
            memory.add([Document(text, title=title) for text in ("I booked a train.", "A boat?")])
            found = memory.recall("I booked a train.", mode="vector")
        # Were their keys the same, so would their scores be.
        assert [hit.score for hit in found] == [1.0, TAIL]
