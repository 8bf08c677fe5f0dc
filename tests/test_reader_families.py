"""Any causal language model of Hugging Face reads memories, by both routes."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from agentmem import MemoryReader
from agentmem.errors import InputError
from agentmem.models.reader.configuration import Route
from agentmem.testing import tiny_model
from tests.reader_support import (
    FAMILIES,
    TEXTS,
    Kept,
    causal_lm,
    close,
    config_of,
    kept,
    make_reader,
    padded,
    row_of,
    slots_of,
)

ROUTES: tuple[Route, ...] = ("slots", "positions")
ROWS = [[1, 40, 50, 60, 70, 80], [1, 90], [1, 33, 44, 55], [1, 200, 201, 202, 203]]
NEW = 7


@cache
def opened(family: str, route: Route) -> MemoryReader:
    reader: MemoryReader = make_reader(causal_lm(family), route=route, adapter="states")
    return reader


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ROUTES)
def reader(request: pytest.FixtureRequest, family: str) -> MemoryReader:
    return opened(family, request.param)


@pytest.fixture(scope="module")
def memories() -> list[Kept]:
    return kept(*TEXTS)


@torch.no_grad()
def logits(reader: MemoryReader, ids: Tensor, mask: Tensor, *groups: list[Kept]) -> Tensor:
    """Logits (B, T, V) of texts that read some groups of memories."""
    model = reader.parts.model
    with model.reading(prepared := reader.prepare(groups)):
        output = model.lm(**model.inputs(ids, mask, prepared), use_cache=False).logits
    made: Tensor = output[:, -ids.shape[1] :]
    return made


def written(
    reader: MemoryReader, ids: Tensor, mask: Tensor, *groups: list[Kept]
) -> list[list[int]]:
    """What is generated greedily, so many tokens for each row."""
    made: list[list[int]] = reader.parts.model.generate(
        ids, mask, reader.prepare(groups), max_new_tokens=NEW, do_sample=False, eos_token_id=None
    ).tolist()
    return made


def test_closed_gates_leave_the_language_model_as_it_was(family: str, memories: list[Kept]) -> None:
    lm = causal_lm(family)
    ids, mask = padded(ROWS, left=False)
    with torch.no_grad():
        before = lm(input_ids=ids, attention_mask=mask).logits
    reader = MemoryReader.from_causal_lm(lm, tiny_model(), config=config_of(adapter="states"))
    for groups in ([], [memories]):
        # Padding has other places now, and nobody looks at it.
        assert torch.equal(logits(reader, ids, mask, *groups)[mask.bool()], before[mask.bool()])


def test_memories_change_what_is_said(reader: MemoryReader, memories: list[Kept]) -> None:
    ids, mask = row_of(*ROWS[0])
    without = logits(reader, ids, mask)
    one, other = (logits(reader, ids, mask, group) for group in (memories[:1], memories[1:]))
    for a, b in ((without, one), (without, other), (one, other)):
        assert float((a - b).abs().max()) > 0.05


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_padding_changes_nothing(reader: MemoryReader, memories: list[Kept], left: bool) -> None:
    ids, mask = padded(ROWS, left=left)
    together = logits(reader, ids, mask, memories)
    for at, row in enumerate(ROWS):
        alone = logits(reader, *row_of(*row), memories)
        close(together[at][mask[at].bool()], alone[0])


def test_the_forward_pass_of_training_is_the_same(
    reader: MemoryReader, memories: list[Kept]
) -> None:
    ids, mask = padded(ROWS, left=False)
    slots = slots_of([memories])
    with torch.no_grad():
        output = reader.parts.model(
            ids, mask, memory=slots, labels=ids.masked_fill(mask == 0, -100)
        )
    assert torch.equal(output.logits, logits(reader, ids, mask, memories))


def test_rows_of_a_group_are_like_groups_of_one(reader: MemoryReader, memories: list[Kept]) -> None:
    ids, mask = padded(ROWS, left=True)
    groups = [memories[:1], memories]  # of other numbers and lengths
    shared = logits(reader, ids, mask, *groups)
    each = logits(reader, ids, mask, groups[0], groups[0], groups[1], groups[1])
    close(shared[mask.bool()], each[mask.bool()])
    for at in range(4):
        alone = logits(reader, *row_of(*ROWS[at]), groups[at // 2])
        close(shared[at][mask[at].bool()], alone[0])


def test_a_group_without_memories_beside_one_with(
    reader: MemoryReader, memories: list[Kept]
) -> None:
    ids, mask = padded(ROWS[:2], left=True)
    mixed = logits(reader, ids, mask, memories, [])
    close(mixed[1][mask[1].bool()], logits(reader, *row_of(*ROWS[1]))[0])
    close(mixed[0], logits(reader, *row_of(*ROWS[0]), memories)[0])


def test_the_cache_changes_nothing(reader: MemoryReader, memories: list[Kept]) -> None:
    model, (ids, mask) = reader.parts.model, padded(ROWS, left=True)
    whole = logits(reader, ids, mask, memories)
    prepared = reader.prepare([memories])
    inputs = model.inputs(ids, mask, prepared)
    first = inputs["attention_mask"].shape[1] - 2
    words = model.lm.get_input_embeddings()(ids)
    with torch.no_grad(), model.reading(prepared):
        begun = {
            name: part if name == "attention_mask" else part[:, :first]
            for name, part in inputs.items()
        }
        begun["attention_mask"] = inputs["attention_mask"][:, :first]
        output = model.lm(**begun, use_cache=True)
        for place in (-2, -1):
            stop = inputs["attention_mask"].shape[1] + place + 1
            step = {
                "inputs_embeds": words[:, [place]],
                "attention_mask": inputs["attention_mask"][:, :stop],
            }
            if "position_ids" in inputs:
                step["position_ids"] = inputs["position_ids"][:, [place]]
            output = model.lm(**step, past_key_values=output.past_key_values, use_cache=True)
            close(output.logits[:, 0], whole[:, place])


def test_what_is_generated_is_the_likeliest_token_each_time(
    reader: MemoryReader, memories: list[Kept]
) -> None:
    """Generation, with its cache and its own places, against whole passes of one row."""
    groups = [memories[:1], memories]
    ids, mask = padded(ROWS, left=True)
    made = written(reader, ids, mask, *groups)
    for at, row in enumerate(ROWS):
        text = list(row)
        for _ in range(NEW):
            text.append(int(logits(reader, *row_of(*text), groups[at // 2])[0, -1].argmax()))
        assert made[at] == text[len(row) :]
    if reader.config.route == "slots":  # input embeddings want a cache
        slow = reader.parts.model.generate(
            ids,
            mask,
            reader.prepare(groups),
            max_new_tokens=NEW,
            do_sample=False,
            use_cache=False,
            eos_token_id=None,
        )
        assert slow.tolist() == made


def test_a_cache_of_fixed_size_changes_nothing(reader: MemoryReader, memories: list[Kept]) -> None:
    ids, mask = padded(ROWS, left=True)
    static = reader.parts.model.generate(
        ids,
        mask,
        reader.prepare([memories]),
        max_new_tokens=NEW,
        do_sample=False,
        cache_implementation="static",
        eos_token_id=None,
    )
    assert static.tolist() == written(reader, ids, mask, memories)


def test_tokens_guessed_ahead(reader: MemoryReader, memories: list[Kept]) -> None:
    """By slot attention they are what would have come if no position read on from the one before;
    with input embeddings they would not be."""
    model, (ids, mask) = reader.parts.model, row_of(1, 40, 50, 60, 40, 50)
    arguments = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None}

    def guessed() -> list[list[int]]:
        made: list[list[int]] = model.generate(
            ids, mask, reader.prepare([memories]), prompt_lookup_num_tokens=2, **arguments
        ).tolist()
        return made

    if reader.config.route == "slots":
        with model.reading(reader.prepare([memories]), onward=False):
            plain = model.lm.generate(ids, attention_mask=mask, **arguments)
        assert guessed() == plain[:, ids.shape[1] :].tolist()
        return
    with pytest.raises(InputError, match="prompt_lookup_num_tokens does not go with memories at"):
        guessed()


def test_texts_are_read_on_only_where_none_are_exchanged() -> None:
    model = opened("llama", "slots").parts.model
    given = GenerationConfig(max_new_tokens=NEW)
    assert model._goes_on({"do_sample": True})
    assert model._goes_on({"generation_config": given})
    assert not model._goes_on({"num_beams": 2})
    assert not model._goes_on({"prompt_lookup_num_tokens": 2})
    assert not model._goes_on({"custom_generate": "elsewhere"})
    own = model.lm.generation_config
    before, own.num_beams = own.num_beams, 3
    try:
        # What the model has set holds where a given configuration does not say.
        assert not model._goes_on({"generation_config": given})
        assert model._goes_on({"generation_config": given, "num_beams": 1})
    finally:
        own.num_beams = before


def test_beams_and_samples_read_their_own_group(reader: MemoryReader, memories: list[Kept]) -> None:
    groups = [memories[:1], memories]
    ids, mask = padded(ROWS, left=True)
    beams = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": NEW, "do_sample": False}
    model = reader.parts.model
    made = model.generate(
        ids, mask, reader.prepare(groups), **beams, eos_token_id=None, pad_token_id=0
    )
    assert made.shape == (8, NEW)
    for at, row in enumerate(ROWS):
        alone = model.generate(
            *row_of(*row),
            reader.prepare([groups[at // 2]]),
            **beams,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert made[2 * at : 2 * at + 2].tolist() == alone.tolist()


def test_sampling_follows_the_seed(reader: MemoryReader, memories: list[Kept]) -> None:
    ids, mask = row_of(*ROWS[0])
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(
            reader.parts.model.generate(
                ids,
                mask,
                reader.prepare([memories]),
                max_new_tokens=12,
                do_sample=True,
                temperature=1.5,
                top_p=0.95,
                num_return_sequences=2,
                eos_token_id=None,
                pad_token_id=0,
            ).tolist()
        )
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0] != drawn[0][1]
