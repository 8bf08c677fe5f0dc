"""Packing hits into a budget: order, vectors or text, and the invalid arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Document, Memory, Message, Recall, pack
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from tests.support.hits import with_hits
from tests.support.language_models import tiny_lm, tiny_tokenizer
from tests.support.prompts import without_nonce

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def with_fidelities(found: Recall, fidelities: Sequence[float]) -> Recall:
    """The same hits, as if their vectors alone had regenerated these shares of their tokens."""
    hits = tuple(
        replace(hit, fidelity=fidelity) for hit, fidelity in zip(found, fidelities, strict=True)
    )
    return with_hits(found, hits)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[Memory]:
    with Memory(tmp_path_factory.mktemp("pack"), model=model) as memory:
        yield memory


@pytest.fixture
def found(memory: Memory) -> Recall:
    """Three turns and a note about trains; the best fit is not the oldest."""
    memory.add(
        [
            Message("Trains are late.", name="Ana", created_at=DAY + timedelta(days=2)),
            Message("Which trains? " * 20, "assistant", created_at=DAY),
            Message("The trains.", created_at=DAY + timedelta(days=1)),
            Document("Timetable of all trains", title="trains.md", created_at=DAY),
        ]
    )
    return memory.recall("trains", k=4, mode="lexical")


def test_what_fits_is_in_the_order_it_was_said(found: Recall) -> None:
    context = found.pack(max_tokens=10_000)
    assert context.left_out == 0
    assert without_nonce(context.to_text()) == (
        "<memories>\n"
        f"[2026-05-01] assistant: {'Which trains? ' * 20}\n"
        "[2026-05-01] trains.md: Timetable of all trains\n"
        "[2026-05-02] user: The trains.\n"
        "[2026-05-03] Ana: Trains are late.\n"
        "</memories>"
    )
    assert context.tokens == sum(hit.tokens for hit in found)
    assert context.positions == sum(hit.positions for hit in found)


def test_the_best_are_taken_and_the_rest_is_counted(found: Recall) -> None:
    context = found.pack(max_positions=found[0].positions)
    assert [hit.id for hit in context.hits] == [found[0].id]
    assert context.left_out == 3


def test_a_hit_that_does_not_fit_lets_smaller_ones_in(found: Recall) -> None:
    long = max(found, key=lambda hit: hit.positions)
    context = found.pack(max_positions=sum(hit.positions for hit in found) - 1)
    assert context.left_out >= 1
    small = found.pack(max_positions=long.positions - 1)
    assert long.id not in {hit.id for hit in small.hits}
    assert len(small.hits) == 3


def test_messages_in_both_styles(found: Recall) -> None:
    context = found.pack(max_tokens=10_000)
    text = context.to_text()
    assert context.to_messages("openai") == [{"role": "user", "content": text}]
    assert context.to_messages("anthropic") == [
        {"role": "user", "content": [{"type": "text", "text": text}]}
    ]
    with pytest.raises(InputError, match="unknown format 'gemini'"):
        context.to_messages("gemini")  # type: ignore[arg-type]


def test_nothing_fits(found: Recall) -> None:
    context = found.pack(max_tokens=1)
    assert (context.hits, context.left_out, context.tokens, context.positions) == ((), 4, 0, 0)
    assert context.to_text() == ""
    assert context.to_messages("openai") == context.to_messages("anthropic") == []
    assert len(context.latents) == 0


def test_latents_stand_in_the_order_of_the_text(found: Recall) -> None:
    context = found.pack(max_positions=10_000)
    assert context.latents.shape == (context.positions, 32)
    assert context.latents.dtype == np.int8
    at = 0
    for hit in context.hits:
        assert np.array_equal(context.latents[at : at + hit.positions], hit.latents)
        at += hit.positions
    assert at == context.positions


def test_hits_go_in_as_vectors_unless_there_is_a_reason(found: Recall) -> None:
    context = found.pack(max_positions=10_000)
    assert set(context.vectors) == set(found)
    assert context.texts == ()
    assert context.text == ""


def test_a_hit_whose_vectors_say_too_little_goes_in_as_text(
    found: Recall, model: ModelBundle
) -> None:
    mixed = with_fidelities(found, (1.0, 0.989, 0.99, 0.5))
    context = mixed.pack(max_positions=10_000)
    assert {hit.id for hit in context.texts} == {found[1].id, found[3].id}
    assert {hit.id for hit in context.vectors} == {found[0].id, found[2].id}
    older, newer = sorted((found[1], found[3]), key=lambda hit: (hit.created_at, hit.id))
    first, second = context.text.split("\n")
    assert first.endswith(f": {older.text}")
    assert second.endswith(f": {newer.text}")
    # One position for each token of the text, and one for each vector.
    words = len(model.tokenizer.encode(context.text + "\n"))
    assert context.positions == found[0].positions + found[2].positions + words
    # For a chat API all of it is text.
    assert all(hit.text in context.to_text() for hit in found)


def test_hits_of_a_lossy_model_are_packed_as_text(forgetful_model: ModelBundle) -> None:
    with Memory(":memory:", model=forgetful_model) as memory:
        memory.add("The train to Lyon leaves at 9:40")
        (hit,) = found = memory.recall("train")
        assert hit.fidelity < 0.99
        context = found.pack(max_positions=100)
        assert context.texts == (hit,)
        assert context.text.endswith("user: The train to Lyon leaves at 9:40")


def test_the_best_go_in_as_text_if_asked_for(found: Recall) -> None:
    context = found.pack(max_positions=10_000, texts=2)
    assert set(context.texts) == set(found[:2])
    assert set(context.vectors) == set(found[2:])
    assert set(found.pack(max_positions=10_000, texts=9).texts) == set(found)


def test_the_best_are_the_best_in_whatever_order_they_come(found: Recall) -> None:
    turned = with_hits(found, found.hits[::-1])
    assert turned.pack(max_positions=10_000, texts=1).texts == (found[0],)
    room = found[0].positions
    assert turned.pack(max_positions=room).hits == found.pack(max_positions=room).hits


def test_a_good_hit_whose_text_does_not_fit_goes_in_as_vectors(found: Recall) -> None:
    room = sum(hit.positions for hit in found)
    context = found.pack(max_positions=room, texts=4)
    assert context.left_out == 0
    assert set(context.vectors) == set(found)


def test_a_bad_hit_whose_text_does_not_fit_is_left_out(found: Recall) -> None:
    room = sum(hit.positions for hit in found)
    mixed = with_fidelities(found, (0.5, 1.0, 1.0, 1.0))
    context = mixed.pack(max_positions=room)
    assert context.left_out == 1
    assert {hit.id for hit in context.hits} == {hit.id for hit in found[1:]}


@pytest.mark.parametrize("name", ["max_tokens", "max_positions"])
@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_below_one_is_refused(found: Recall, name: str, budget: Any) -> None:
    with pytest.raises(InputError, match=f"{name}={budget} must be at least 1"):
        found.pack(**{name: budget})


@pytest.mark.parametrize("budget", [1.5, "100", True])
def test_a_budget_that_is_no_whole_number_is_refused(found: Recall, budget: Any) -> None:
    with pytest.raises(TypeError, match="max_tokens must be an integer, not"):
        found.pack(max_tokens=budget)


def test_a_number_of_texts_that_is_none_is_refused(found: Recall) -> None:
    with pytest.raises(InputError, match="texts=-1 must be at least 0"):
        found.pack(max_positions=100, texts=-1)
    with pytest.raises(TypeError, match="texts must be an integer, not 0.5"):
        found.pack(max_positions=100, texts=0.5)  # type: ignore[arg-type]


def test_no_budget_is_refused(found: Recall) -> None:
    with pytest.raises(InputError, match="needs a budget"):
        found.pack()


# Texts that begin and end with what a tokenizer likes to join with its neighbors.
edges = st.sampled_from(["", " ", "\n", "\n\n", "\r", "[", "a", ":", "]", "\t", "ü", "9"])
sayings = st.tuples(edges, st.text(min_size=1, max_size=60), edges).map("".join).filter(str.strip)


@given(
    said=st.lists(sayings, min_size=1, max_size=8),
    max_tokens=st.one_of(st.none(), st.integers(1, 400)),
    max_positions=st.one_of(st.none(), st.integers(1, 120)),
    texts=st.integers(0, 3),
    fidelities=st.lists(st.sampled_from([1.0, 0.99, 0.9]), min_size=8, max_size=8),
)
def test_no_budget_is_ever_exceeded(
    shared: Memory,
    model: ModelBundle,
    said: list[str],
    max_tokens: int | None,
    max_positions: int | None,
    texts: int,
    fidelities: list[float],
) -> None:
    if max_tokens is None and max_positions is None:
        max_tokens = 100
    user = f"user {next(users)}"
    days = [DAY + timedelta(days=(number * 5) % 7) for number in range(len(said))]
    shared.add(
        [Message(text, created_at=day) for text, day in zip(said, days, strict=True)], user_id=user
    )
    found = shared.recall("anything", k=8, user_id=user)
    found = with_fidelities(found, fidelities[: len(found)])
    context = found.pack(max_tokens=max_tokens, max_positions=max_positions, texts=texts)
    words = len(model.tokenizer.encode(context.text + "\n")) if context.text else 0
    assert context.positions == len(context.latents) + words
    if max_tokens is not None:
        assert len(model.tokenizer.encode(context.to_text())) <= max_tokens
    if max_positions is not None:
        assert context.positions <= max_positions
    assert len(context.hits) + context.left_out + context.repeats == len(found)
    times = [(hit.created_at, hit.id) for hit in context.hits]
    assert times == sorted(times)
    assert all(hit in found for hit in context.hits)
    assert {*context.vectors, *context.texts} == set(context.hits)
    assert all(hit.fidelity >= 0.99 for hit in context.vectors)
    best = list(dict.fromkeys(hit.text for hit in found))[:texts]  # repeats have one place
    assert all(hit.fidelity < 0.99 or hit.text in best for hit in context.texts)


users = count()


def test_a_cache_holds_each_line_behind_a_prefix(found: Recall) -> None:
    lm, tokenizer = tiny_lm(), tiny_tokenizer()
    context = found.pack(max_tokens=10_000)
    cache = context.to_cache(lm, tokenizer=tokenizer, prefix="Notes:\n")
    lines = "".join(f"{text_line}\n" for text_line in context.to_text().splitlines()[1:-1])
    assert tokenizer.decode(cache.input_ids[0]) == f"Notes:\n{lines}"
    positions = cache.input_ids.shape[1]
    layer = cache.past_key_values.layers[0]
    heads, dims = lm.config.num_key_value_heads, lm.config.head_dim
    assert layer.keys.shape == layer.values.shape == (1, heads, positions, dims)


def test_a_cache_of_nothing_is_the_prefix_and_one_too_long_says_so(found: Recall) -> None:
    lm, tokenizer = tiny_lm(max_position_embeddings=32), tiny_tokenizer()
    nothing = pack([], max_tokens=10).to_cache(lm, tokenizer=tokenizer)
    assert nothing.input_ids.tolist() == [[tokenizer.bos_token_id]]
    with pytest.raises(InputError, match="the language model has 32"):
        found.pack(max_tokens=10_000).to_cache(lm, tokenizer=tokenizer)
