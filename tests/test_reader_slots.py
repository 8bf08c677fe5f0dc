"""Memories as slots, and what slot attention makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentmem import ReaderConfig
from agentmem.errors import InputError
from agentmem.models.reader.attention import (
    READING_ON,
    SlotAttention,
    SlotMaker,
    SlotMemory,
    Sought,
    turn,
)
from agentmem.models.reader.slots import Slots, as_slots
from tests.reader_support import (
    HIDDEN,
    TEXTS,
    Kept,
    close,
    config_of,
    kept,
    make_reader,
    row_of,
    slots_of,
)

CONFIG = config_of()
sizes = st.lists(st.lists(st.integers(1, 40), max_size=4), min_size=1, max_size=4)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=30, deadline=None)


def fresh(kind: type[Any], *given: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(*given).requires_grad_(False)


MAKER: SlotMaker = fresh(SlotMaker, HIDDEN, CONFIG)
ATTENTION: SlotAttention = fresh(SlotAttention, HIDDEN, CONFIG)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Of eight memories; the first one's label is a token shorter than a key's span.
LABELS = noise(9, 8, CONFIG.span, HIDDEN)
LABELLED = torch.ones(8, CONFIG.span, dtype=torch.bool)
LABELLED[0, 0] = False


def made_of(embeddings: Tensor, lengths: Tensor) -> SlotMemory:
    count = lengths.shape[1]
    made: SlotMemory = MAKER(embeddings, lengths, LABELS[:count], LABELLED[:count])
    return made


def memory_of(latents: Any, tokens: int) -> Kept:
    return Kept(np.asarray(latents), tokens)


class TestAsSlots:
    @given(groups=sizes, seed=seeds)
    @examples
    def test_every_code_is_in_its_place(self, groups: list[list[int]], seed: int) -> None:
        rng = np.random.default_rng(seed)
        tapes = [[rng.integers(-127, 128, (n, 2), dtype=np.int8) for n in ns] for ns in groups]
        memories = [
            [Kept(np.pad(tape, ((0, -len(tape) % 16), (0, 0))).reshape(-1, 32), len(tape))
             for tape in group]
            for group in tapes
        ]  # fmt: skip
        slots = as_slots(memories, slot_dims=2, vector_dims=32, most=4)
        if not any(groups):
            assert slots is None
            return
        assert slots is not None
        assert slots.codes.shape[:2] == slots.lengths.shape == (len(groups), max(map(len, groups)))
        assert int(slots.mask.sum()) == sum(map(sum, groups))
        for row, group in enumerate(tapes):
            assert slots.lengths[row].tolist()[: len(group)] == [len(tape) for tape in group]
            assert slots.lengths[row, len(group) :].sum() == 0
            for place, tape in enumerate(group):
                assert np.array_equal(slots.codes[row, place][slots.mask[row, place]], tape)

    def test_what_a_bundle_encodes(self) -> None:
        memories = kept(*TEXTS)
        slots = slots_of([memories, memories[1:2]])
        assert slots.lengths.tolist() == [[m.tokens for m in memories], [memories[1].tokens, 0, 0]]
        assert torch.equal(slots.codes[0, 1], slots.codes[1, 0])

    @pytest.mark.parametrize(
        ("latents", "tokens"),
        [
            pytest.param(np.zeros((2, 32), np.int8), 16, id="too-many-vectors"),
            pytest.param(np.zeros((2, 32), np.int8), 33, id="too-few-vectors"),
            pytest.param(np.zeros((2, 64), np.int8), 32, id="wider-vectors"),
            pytest.param(np.zeros(32, np.int8), 16, id="flat"),
            pytest.param(np.zeros((1, 32), np.float32), 16, id="not-int8"),
            pytest.param(np.zeros((0, 32), np.int8), 0, id="no-tokens"),
        ],
    )
    def test_latents_that_are_not_the_bundles(self, latents: Any, tokens: int) -> None:
        with pytest.raises(InputError, match=f"for {tokens} tokens are not of this reader's bund"):
            slots_of([[memory_of(latents, tokens)]])

    def test_a_code_that_no_bundle_has(self) -> None:
        with pytest.raises(InputError, match="codes below -127"):
            slots_of([[memory_of(np.full((1, 32), -128, np.int8), 3)]])

    def test_more_memories_than_the_reader_holds(self) -> None:
        many = kept("Ana") * 9
        assert slots_of([many[:8]]).lengths.shape == (1, 8)
        with pytest.raises(InputError, match="9 memories are more than the 8.*smaller k"):
            slots_of([many[:2], many])


class TestSlotMaker:
    @given(groups=sizes.filter(any), seed=seeds)
    @examples
    def test_a_memory_is_the_same_whatever_stands_beside_it(
        self, groups: list[list[int]], seed: int
    ) -> None:
        lengths = torch.zeros(len(groups), max(map(len, groups)), dtype=torch.int64)
        for row, group in enumerate(groups):
            lengths[row, : len(group)] = torch.tensor(group, dtype=torch.int64)
        longest = int(lengths.max())
        embeddings = noise(seed, *lengths.shape, longest, HIDDEN)
        together = made_of(embeddings, lengths)
        assert together.mask.shape[1] == lengths.shape[1] * (longest + 1) + 1
        for row, group in enumerate(groups):
            inside = together.mask[row]
            # A slot for each token, one for each end, and the empty one.
            assert int(inside.sum()) == sum(group) + len(group) + 1
            if not group:
                continue
            cut = (slice(row, row + 1), slice(len(group)), slice(max(group)))
            alone = made_of(embeddings[cut], lengths[cut[:2]])
            close(together.keys[row][inside], alone.keys[0][alone.mask[0]])
            close(together.values[row][inside], alone.values[0][alone.mask[0]])

    def test_of_which_tokens_a_key_tells(self) -> None:
        """Of those before it one by one, and by their mean of those around it as well."""
        maker = MAKER
        embeddings, lengths = noise(0, 1, 1, 9, HIDDEN), torch.tensor([[9]])
        before = maker(embeddings, lengths, LABELS[:1], LABELLED[:1]).keys[0]
        for place in range(9):
            other = embeddings.clone()
            other[0, 0, place] += noise(1, HIDDEN)
            moved = maker(other, lengths, LABELS[:1], LABELLED[:1]).keys[0] - before
            first, last = place - CONFIG.around, place + max(CONFIG.span, CONFIG.around)
            reach = [at for at in range(10) if first <= at <= last]
            assert (moved.abs().amax(-1) > 1e-4).nonzero().flatten().tolist() == reach

    def test_slots_of_equal_memories_tell_which_they_are_in_and_where(self) -> None:
        embeddings = noise(0, 1, 1, 1, HIDDEN).expand(1, 3, 5, HIDDEN)
        made = made_of(embeddings, torch.tensor([[5, 5, 5]]))
        for parts in (made.keys, made.values):
            slots = parts[0, :-1]
            apart = (slots[:, None] - slots[None]).abs().amax(-1) > 1e-4
            assert torch.equal(apart, ~torch.eye(18, dtype=torch.bool))

    def test_a_label_that_is_not_there_is_the_start(self) -> None:
        embeddings, lengths = noise(0, 1, 1, 5, HIDDEN), torch.tensor([[5]])
        none = torch.zeros(1, CONFIG.span, dtype=torch.bool)
        one, other = (MAKER(embeddings, lengths, LABELS[at : at + 1], none) for at in (0, 1))
        assert torch.equal(one.keys, other.keys)

    def test_the_place_of_a_slot_is_in_its_key(self) -> None:
        keys = made_of(noise(0, 1, 2, 5, HIDDEN), torch.tensor([[5, 5]])).keys[0, :-1]
        places = keys.view(2, 6, -1)[..., CONFIG.width - CONFIG.rope_dims :]
        close(places[0], places[1])
        assert float((places[0, 1:] - places[0, :-1]).abs().amax(-1).min()) > 1e-3

    def test_the_scale_and_precision_of_embeddings_do_not_matter(self) -> None:
        embeddings, lengths = noise(0, 1, 2, 5, HIDDEN), torch.tensor([[5, 3]])
        one, other = made_of(embeddings, lengths), made_of(embeddings * 50, lengths)
        close(one.keys, other.keys)
        half = made_of(embeddings.bfloat16(), lengths)
        assert half.keys.dtype == half.values.dtype == torch.float32
        torch.testing.assert_close(half.values, one.values, atol=0.05, rtol=0.05)

    def test_bytes_are_those_of_one_key_and_one_value_per_slot(self) -> None:
        made = made_of(noise(0, 3, 2, 5, HIDDEN), torch.tensor([[5, 3], [2, 0], [1, 1]]))
        assert made.nbytes() == 3 * (2 * 6 + 1) * (CONFIG.width + CONFIG.width) * 4


class TestSlotAttention:
    def read(self, memory: SlotMemory, states: Tensor, places: Tensor) -> Tensor:
        attention = fresh(SlotAttention, HIDDEN, CONFIG)
        torch.nn.init.constant_(attention.gate, 1.0)
        read: Tensor = attention(states, memory, places) - states
        return read

    def test_a_closed_gate_adds_nothing(self) -> None:
        memory = made_of(noise(0, 1, 1, 5, HIDDEN), torch.tensor([[5]]))
        states = noise(1, 2, 3, HIDDEN)
        assert torch.equal(ATTENTION(states, memory, torch.arange(3)[None]), states)

    def test_the_same_as_written_out(self) -> None:
        """Against attention one row, head and place at a time."""
        memory = made_of(noise(0, 2, 2, 5, HIDDEN), torch.tensor([[5, 3], [2, 0]]))
        states, places = noise(1, 4, 3, HIDDEN), torch.tensor([[0, 1, 2]] * 2 + [[0, 0, 1]] * 2)
        got = self.read(memory, states, places)
        width, heads = CONFIG.width, CONFIG.heads
        for row in range(4):
            there = memory.mask[row // 2]
            keys, values = memory.keys[row // 2][there], memory.values[row // 2][there]
            for at in range(3):
                asked = ATTENTION.query(ATTENTION.norm(states[row, at])).view(heads, width)
                heard = []
                for query in asked:
                    plain, turned = query[: -CONFIG.rope_dims], query[-CONFIG.rope_dims :]
                    query = torch.cat([plain, turn(turned, places[row, at])])
                    heard.append(torch.softmax(keys @ query / width**0.5, 0) @ values)
                expected = ATTENTION.out(torch.cat(heard)) * np.tanh(1.0)
                close(got[row, at], expected)

    def test_no_memories_are_read_as_nothing(self) -> None:
        memory = made_of(noise(0, 1, 2, 5, HIDDEN), torch.tensor([[0, 0]]))
        read = self.read(memory, noise(1, 1, 3, HIDDEN), torch.arange(3)[None])
        assert torch.equal(read, torch.zeros_like(read))

    def test_the_order_of_memories_counts_only_by_their_labels(self) -> None:
        embeddings, lengths = noise(0, 1, 2, 5, HIDDEN), torch.tensor([[5, 3]])
        states, places = noise(1, 1, 3, HIDDEN), torch.arange(3)[None]
        one, other = (
            self.read(MAKER(*given, LABELS[:2], LABELLED[:2]), states, places)
            for given in ((embeddings, lengths), (embeddings.flip(1), lengths.flip(1)))
        )
        assert not torch.allclose(one, other, atol=1e-4)
        labelled = MAKER(
            embeddings.flip(1), lengths.flip(1), LABELS[:2].flip(0), LABELLED[:2].flip(0)
        )
        close(one, self.read(labelled, states, places))


@given(shift=st.integers(0, 200), places=st.tuples(st.integers(0, 50), st.integers(0, 50)))
@examples
def test_turned_vectors_meet_by_their_distance(shift: int, places: tuple[int, int]) -> None:
    one, other = noise(0, 8), noise(1, 8)

    def met(a: int, b: int) -> Tensor:
        return turn(one, torch.tensor(a)) @ turn(other, torch.tensor(b))

    close(met(places[0], places[1]), met(places[0] + shift, places[1] + shift))
    close(turn(one, torch.tensor(places[0])).norm(), one.norm())


def test_slots_move_together() -> None:
    slots = Slots(torch.zeros(1, 1, 2, 2, dtype=torch.int64), torch.tensor([[2]]))
    moved = slots.to(torch.device("meta"))
    assert moved.codes.is_meta
    assert moved.lengths.is_meta


class TestConfig:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            pytest.param({"rope_dims": 7}, "rope_dims=7 must be even", id="odd"),
            pytest.param({"rope_dims": 32}, "below width=32", id="wide"),
            pytest.param({"layers": []}, r"layers=\[\] must name at least one", id="no-layers"),
            pytest.param({"layers": [1, 1]}, "none twice", id="a-layer-twice"),
            pytest.param({"layers": [-1]}, "greater than or equal to 0", id="negative"),
            pytest.param({"heads": 0}, "greater than 0", id="no-heads"),
            pytest.param({"route": "radio"}, "'slots' or 'positions'", id="route"),
            pytest.param({"color": 1}, "Extra inputs", id="unknown"),
        ],
    )
    def test_settings_that_cannot_be(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            ReaderConfig.model_validate({"width": 32, "rope_dims": 8, **changes})


def test_what_heads_find_is_their_share_of_attention() -> None:
    torch.manual_seed(0)
    config = ReaderConfig(heads=3, width=16, rope_dims=4)
    attention = SlotAttention(8, config)
    memory = SlotMemory(
        keys=torch.randn(2, 5, 16),
        values=torch.randn(2, 5, 16),
        mask=torch.tensor([[True] * 5, [True, True, False, True, True]]),
        led=torch.zeros(2, 5, dtype=torch.bool),
    )
    states, places = torch.randn(4, 6, 8), torch.arange(6)[None]
    at = torch.tensor([[0, 5], [1, 1], [2, 3], [4, 0]])
    everything = memory.mask.repeat_interleave(2, dim=0)[:, None].expand(-1, 2, -1)
    counts = torch.ones(4, 2, dtype=torch.bool)

    def found(slots: torch.Tensor) -> torch.Tensor:
        return attention.found(states, memory, places, Sought(at, slots, counts))

    torch.testing.assert_close(found(everything), torch.ones(4, 2, 3))
    assert not found(~memory.mask.repeat_interleave(2, dim=0)[:, None].expand(-1, 2, -1)).any()
    # By hand, for one row, one position and one slot.
    query = attention._queries(states, places)[3, 4]
    scores = (query @ memory.keys[1].T) * 16**-0.5
    scores[:, 2] = -torch.inf
    third = torch.zeros(4, 2, 5, dtype=torch.bool)
    third[3, 0, 3] = True
    torch.testing.assert_close(found(third)[3, 0], scores.softmax(-1)[:, 3])


class TestReadingOn:
    """Attention as a forward pass: where was read says where to read on."""

    HEADS, WIDTH, SLOTS = 2, 16, 7

    def made(self, led: list[bool] | None = None) -> tuple[SlotAttention, SlotMemory]:
        torch.manual_seed(0)
        attention = SlotAttention(8, ReaderConfig(heads=self.HEADS, width=self.WIDTH, rope_dims=4))
        attention.gate.data.fill_(1.0)
        mask = torch.tensor([True] * 5 + [False, True])
        return attention, SlotMemory(
            keys=torch.randn(1, self.SLOTS, self.WIDTH),
            values=torch.randn(1, self.SLOTS, self.WIDTH),
            mask=mask[None],
            led=torch.tensor([led or [False, True, True, True, True, False, False]]),
        )

    @torch.no_grad()
    def test_each_position_is_as_by_hand(self) -> None:
        attention, memory = self.made()
        states, places = torch.randn(1, 5, 8), torch.arange(5)[None]
        after, trail = attention.follow(states, memory, places, None)
        queries = attention._queries(states, places)[0]  # (T, heads, width)
        scores = queries @ memory.keys[0].T * self.WIDTH**-0.5
        scores[..., ~memory.mask[0]] = -torch.inf
        before, read = torch.zeros(self.HEADS, self.SLOTS), []
        for at in range(5):
            onward = torch.cat([torch.zeros(self.HEADS, 1), before[:, :-1]], dim=1)
            # A product of how well a slot fits and how likely it is to come next.
            weights = scores[at].exp() * (1 + READING_ON * onward * memory.led[0])
            before = weights / weights.sum(-1, keepdim=True)
            read.append((before @ memory.values[0]).flatten())
        expected = states + torch.tanh(attention.gate) * attention.out(torch.stack(read))
        torch.testing.assert_close(after, expected)
        torch.testing.assert_close(trail[0], before)

    @torch.no_grad()
    def test_where_nothing_was_read_it_is_plain_attention(self) -> None:
        attention, memory = self.made()
        states = torch.randn(3, 1, 8)
        for trail in (None, torch.rand(3, self.HEADS, self.SLOTS), torch.ones(1, 1, 1)):
            # At place 0 a text begins, whatever another has read.
            places = torch.zeros(3, 1, dtype=torch.int64)
            after, _ = attention.follow(states, memory, places, trail)
            torch.testing.assert_close(after, attention(states, memory, places))

    @torch.no_grad()
    def test_calls_go_on_where_the_last_has_ended(self) -> None:
        attention, memory = self.made()
        states, places = torch.randn(2, 6, 8), torch.arange(6)[None]
        whole, last = attention.follow(states, memory, places, None)
        parts, trail = [], None
        for cut in (slice(0, 3), slice(3, 4), slice(4, 6)):
            part, trail = attention.follow(states[:, cut], memory, places[:, cut], trail)
            parts.append(part)
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)
        torch.testing.assert_close(trail, last)

    @torch.no_grad()
    def test_of_two_places_that_fit_alike_it_stays_where_it_was(self) -> None:
        attention, memory = self.made([False, True, True, False, True, False, False])
        # Two memories, slots 0-2 and 3-4, whose second slots look the same.
        keys = memory.keys.clone()
        keys[0, 4] = keys[0, 1]
        memory = replace(memory, keys=keys)
        states, places = torch.randn(1, 1, 8), torch.ones(1, 1, dtype=torch.int64)
        for first, second, other in ((0, 1, 4), (3, 4, 1)):
            trail = torch.zeros(1, self.HEADS, self.SLOTS)
            trail[..., first] = 1.0
            _, now = attention.follow(states, memory, places, trail)
            assert (now[..., second] > 100 * now[..., other]).all()

    @torch.no_grad()
    def test_nothing_goes_on_from_one_memory_into_the_next(self) -> None:
        attention, memory = self.made([False, True, True, False, True, False, False])
        states, places = torch.randn(1, 1, 8), torch.ones(1, 1, dtype=torch.int64)
        trail = torch.zeros(1, self.HEADS, self.SLOTS)
        trail[..., 2] = 1.0  # the last slot of the first memory
        after, _ = attention.follow(states, memory, places, trail)
        torch.testing.assert_close(after, attention(states, memory, places))

    def test_slots_know_whether_one_stands_before_them(self) -> None:
        reader = make_reader()
        slots = reader.prepare([kept(*TEXTS)]).slots
        assert slots is not None
        firsts = slots.mask & ~slots.led
        # The first slot of each memory, and the empty one behind them all.
        assert int(firsts.sum()) == len(TEXTS) + 1
        assert bool(firsts[0, 0])
        assert bool(firsts[0, -1])
        assert not (slots.led & ~slots.mask).any()


def test_what_is_missed_falls_as_attention_learns_where_to_look() -> None:
    model, memory = make_reader().parts.model, slots_of([kept(*TEXTS)])
    count, longest = memory.codes.shape[1:3]
    everywhere = torch.ones(1, 2, count * (longest + 1) + 1, dtype=torch.bool)
    there = torch.zeros_like(everywhere)
    there[0, 0, 3] = there[0, 1, longest + 2] = True

    def missed(slots: Tensor, *counts: bool) -> Tensor:
        sought = Sought(torch.tensor([[2, 4]]), slots, torch.tensor([counts]))
        nats: Tensor = model(*row_of(1, 40, 50, 60, 70), memory=memory, sought=sought).missed
        return nats

    first, second = missed(there, True, False), missed(there, False, True)
    assert first != second
    close(missed(there, True, True), (first + second) / 2)
    close(missed(everywhere, True, True), torch.zeros(()))
    learning = [weights for _, weights in model.own_parameters]
    optimiser = torch.optim.AdamW(learning, lr=1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        missed(there, True, True).backward()
        optimiser.step()
    assert float(missed(there, True, True).detach()) < 0.5 * float((first + second).detach() / 2)
