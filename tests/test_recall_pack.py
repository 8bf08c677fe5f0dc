from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import Document, Memory, Message, Recall
from agentmem.errors import InputError
from agentmem.models.bundle import ModelBundle

DAY = datetime(2026, 5, 1, tzinfo=UTC)


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
    assert context.to_text() == (
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
    assert context.to_messages("openai") == [{"role": "system", "content": text}]
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


@pytest.mark.parametrize("name", ["max_tokens", "max_positions"])
@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_below_one_is_refused(found: Recall, name: str, budget: int) -> None:
    with pytest.raises(InputError, match=f"{name}={budget}: a budget is at least 1"):
        found.pack(**{name: budget})


@pytest.mark.parametrize("budget", [1.5, "100", True])
def test_a_budget_that_is_no_whole_number_is_refused(found: Recall, budget: Any) -> None:
    with pytest.raises(TypeError, match="max_tokens is a whole number, not"):
        found.pack(max_tokens=budget)


def test_no_budget_is_refused(found: Recall) -> None:
    with pytest.raises(InputError, match="needs a budget"):
        found.pack()


# Texts that begin and end with what a tokenizer likes to join with its neighbours.
edges = st.sampled_from(["", " ", "\n", "\n\n", "\r", "[", "a", ":", "]", "\t", "ü", "9"])
texts = st.tuples(edges, st.text(min_size=1, max_size=60), edges).map("".join).filter(str.strip)


@given(
    said=st.lists(texts, min_size=1, max_size=8),
    max_tokens=st.one_of(st.none(), st.integers(1, 400)),
    max_positions=st.one_of(st.none(), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_no_budget_is_ever_exceeded(
    shared: Memory,
    model: ModelBundle,
    said: list[str],
    max_tokens: int | None,
    max_positions: int | None,
) -> None:
    if max_tokens is None and max_positions is None:
        max_tokens = 100
    user = f"user {next(users)}"
    days = [DAY + timedelta(days=(number * 5) % 7) for number in range(len(said))]
    shared.add(
        [Message(text, created_at=day) for text, day in zip(said, days, strict=True)], user_id=user
    )
    found = shared.recall("anything", k=8, user_id=user)
    context = found.pack(max_tokens=max_tokens, max_positions=max_positions)
    if max_tokens is not None:
        assert len(model.tokenizer.encode(context.to_text())) <= max_tokens
    if max_positions is not None:
        assert len(context.latents) == context.positions <= max_positions
    assert len(context.hits) + context.left_out == len(found)
    times = [(hit.created_at, hit.id) for hit in context.hits]
    assert times == sorted(times)
    assert all(hit in found for hit in context.hits)


users = count()
