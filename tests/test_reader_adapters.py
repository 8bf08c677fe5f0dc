"""From slots to embeddings, in three ways, and the positions that are made of them."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from agentmem.errors import ConfigError, InputError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.adapter import empty_adapter, fresh_adapter
from agentmem.models.reader.configuration import AdapterKind, Route
from agentmem.models.reader.positions import PositionMaker
from agentmem.models.reader.prompts import label
from agentmem.models.reader.words import pieces
from agentmem.testing import tiny_model
from tests.reader_support import (
    HIDDEN,
    TEXTS,
    causal_lm,
    close,
    config_of,
    kept,
    make_reader,
    own_tokenizer,
    row_of,
    slots_of,
)

BUNDLE = tiny_model().tokenizer
KINDS: tuple[AdapterKind, ...] = get_args(AdapterKind)
ROUTES: tuple[Route, ...] = get_args(Route)
kinds = pytest.mark.parametrize("kind", KINDS)
routes = pytest.mark.parametrize("route", ROUTES)


def embedded(reader: object, *texts: str) -> Tensor:
    """What the adapter makes of texts, (1, N, T, H)."""
    model = reader.parts.model  # type: ignore[attr-defined]
    made: Tensor = model.adapter(slots_of([kept(*texts)]), model.lm.get_input_embeddings())
    return made.detach()


class TestCodes:
    @pytest.mark.parametrize("family", ["llama", "gemma3", "opt"])
    def test_a_slot_is_the_models_own_embedding_of_its_token(self, family: str) -> None:
        lm = causal_lm(family)
        made = embedded(make_reader(lm), TEXTS[0])[0, 0]
        expected = lm.get_input_embeddings()(torch.tensor(BUNDLE.encode(TEXTS[0])))
        assert torch.equal(made, expected)

    def test_with_another_tokenizer_it_is_the_mean_of_its_pieces(self) -> None:
        lm = causal_lm("gemma3", vocab_size=300)
        reader = make_reader(lm, given={"tokenizer": own_tokenizer()})
        made = embedded(reader, TEXTS[0])[0, 0]
        spelled = pieces(reader.words, BUNDLE)
        assert max(map(len, spelled)) > 1
        embed = lm.get_input_embeddings()
        for got, id in zip(made, BUNDLE.encode(TEXTS[0]), strict=True):
            close(got, embed(torch.tensor(spelled[id])).mean(0))

    def test_a_piece_of_a_character_is_nothing(self) -> None:
        reader = make_reader(causal_lm(vocab_size=300), given={"tokenizer": own_tokenizer()})
        made = embedded(reader, "\N{SNOWMAN}")[0, 0]
        assert len(made) == 3
        assert torch.equal(made, torch.zeros_like(made))

    def test_too_many_codes_for_a_table(self) -> None:
        wide = MemoryAutoencoder(
            AutoencoderConfig(16, 16, 16, 2, 1, 1, slot_dims=3, tokens_per_vector=4)
        )
        with pytest.raises(ConfigError, match="slot_dims=3: take 'states'"):
            empty_adapter("codes", wide, HIDDEN, pieces=1)


@kinds
def test_padding_and_company_change_nothing(kind: AdapterKind) -> None:
    reader = make_reader(adapter=kind)
    together = embedded(reader, *TEXTS)[0]
    for row, text in zip(together, TEXTS, strict=True):
        alone = embedded(reader, text)[0, 0]
        close(row[: len(alone)], alone)


@pytest.mark.parametrize("kind", ["states", "linear"])
def test_only_states_know_of_their_neighbours(
    kind: AdapterKind, forgetful_model: ModelBundle
) -> None:
    adapter = fresh_adapter(kind, forgetful_model.autoencoder, HIDDEN, [[0]])
    slots = slots_of([kept("Ana left", "Ana")])
    with torch.no_grad():
        one, other = adapter(slots, torch.nn.Embedding(1, HIDDEN))[0, :, 0]
    assert torch.allclose(one, other, atol=1e-4) == (kind == "linear")


@kinds
@routes
def test_what_learns_and_what_is_saved(kind: AdapterKind, route: Route) -> None:
    """The bundle's weights are no part of a reader, and training reaches all that are."""
    reader = make_reader(adapter=kind, route=route)
    model = reader.parts.model
    frozen = {id(weights) for weights in tiny_model().autoencoder.parameters()}
    assert not frozen & {id(weights) for weights in model.parameters()}
    ids, mask = row_of(1, 40, 50, 60)
    output = model(ids, mask, memory=slots_of([kept(*TEXTS)]), labels=ids)
    output.loss.backward()
    for name, weights in model.own_parameters:
        assert not name.startswith("lm.")
        assert weights.grad is not None, name
        if name != "maker.start":  # every label here is at least as long as a span
            assert float(weights.grad.abs().max()) > 0, name
    assert any(weights.grad is not None for weights in model.lm.parameters())
    assert all(weights.grad is None for weights in tiny_model().autoencoder.parameters())


@kinds
@routes
def test_a_language_model_in_half_precision(kind: AdapterKind, route: Route) -> None:
    whole, half = (
        make_reader(lm, adapter=kind, route=route)
        for lm in (causal_lm(), causal_lm().to(torch.bfloat16))
    )
    ids, mask = row_of(1, 40, 50, 60)
    logits = []
    for reader in (whole, half):
        with torch.no_grad():
            output = reader.parts.model(ids, mask, memory=slots_of([kept(*TEXTS)]))
        logits.append(output.logits.float())
    assert half.parts.model.lm.dtype == torch.bfloat16
    assert float((logits[0] - logits[1]).abs().mean()) < 0.1 * float(logits[0].abs().mean())


def test_labels_are_the_last_tokens_of_what_memories_are_called() -> None:
    reader = make_reader(adapter="linear", span=5)
    labels = reader.parts.model.labels.tolist()
    assert len(labels) == reader.config.max_memories
    for number, tail in enumerate(labels, start=1):
        assert [id for id in tail if id >= 0] == label(reader.words, number)[-5:]


class TestPositions:
    @pytest.mark.parametrize("family", ["llama", "gemma3", "opt"])
    def test_one_token_each_is_the_text_itself(self, family: str) -> None:
        """Between the edges, a memory is what the language model would see of its text."""
        lm = causal_lm(family)
        reader = make_reader(lm, route="positions", tokens_per_position=1)
        edge = reader.parts.model.positions.edge
        torch.nn.init.normal_(edge)
        embeds, mask = reader.embeds(kept(*TEXTS))
        embed = lm.get_input_embeddings()
        expected = [edge[None]]
        for text in TEXTS:
            expected += [embed(torch.tensor(BUNDLE.encode(text))), edge[None]]
        assert torch.equal(embeds[0], torch.cat(expected))
        assert mask.dtype == torch.int64
        assert torch.equal(mask, torch.ones_like(mask))

    @pytest.mark.parametrize("each", [1, 3, 4, 16])
    def test_how_many_positions_a_memory_takes(self, each: int) -> None:
        reader = make_reader(route="positions", adapter="linear", tokens_per_position=each)
        memories = kept(*TEXTS)
        embeds, mask = reader.embeds(memories)
        wanted = sum(1 + -(-memory.tokens // each) for memory in memories) + 1
        assert embeds.shape == (1, wanted, HIDDEN)
        assert mask.shape == (1, wanted)

    def test_every_slot_of_a_position_counts_by_its_place(self) -> None:
        maker = PositionMaker(HIDDEN, config_of(tokens_per_position=4))
        x = torch.randn(1, 1, 6, HIDDEN, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            made, _ = maker(x, torch.tensor([[6]]))
        for position, slots in ((1, range(4)), (2, range(4, 6))):
            expected = sum(x[0, 0, slot] @ maker.places[slot % 4] for slot in slots)
            close(made[0, position], torch.as_tensor(expected).detach())
        assert made.shape == (1, 4, HIDDEN)

    def test_fewer_tokens_at_a_position_for_now(self) -> None:
        maker = PositionMaker(HIDDEN, config_of(tokens_per_position=4))
        x = torch.randn(1, 1, 6, HIDDEN, generator=torch.Generator().manual_seed(0))
        maker.now = 1
        with torch.no_grad():
            made, mask = maker(x, torch.tensor([[5]]))
        assert torch.equal(made[0, 1:6], x[0, 0, :5])  # the first matrix starts as the identity
        assert mask.tolist() == [[True] * 6 + [False, True]]

    def test_slot_attention_has_no_input_embeddings(self) -> None:
        with pytest.raises(InputError, match="by slot attention.*route='positions'"):
            make_reader(adapter="linear").embeds(kept(*TEXTS))

    def test_nothing_found_has_none_either(self) -> None:
        with pytest.raises(InputError, match="recall found nothing"):
            make_reader(adapter="linear", route="positions").embeds([])
