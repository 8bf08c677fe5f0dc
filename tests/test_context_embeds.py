"""A packed context handed to a reader, to its language model, and to a server."""

from __future__ import annotations

import base64
import io

import pytest
import torch

from agentmem import Memory, MemoryReader, Recall
from agentmem.errors import InputError
from agentmem.testing import tiny_reader

QUESTION = "where does Marta live?"
PROMPT = f"Question: {QUESTION}\nAnswer:"
SAID = (
    "My sister Marta lives in Porto.",
    "The train to Lyon leaves at 9:40 from platform 12, and Ana comes too.",
    "I like green tea.",
)


@pytest.fixture
def found(memory: Memory) -> Recall:
    memory.add(SAID)
    return memory.recall(QUESTION, k=3)


@pytest.fixture(scope="module")
def reader() -> MemoryReader:
    return tiny_reader("positions")


def generated(reader: MemoryReader, embeds: torch.Tensor, mask: torch.Tensor) -> str:
    """What the bare language model goes on with."""
    made = reader.parts.model.lm.generate(
        inputs_embeds=embeds,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=16,
        eos_token_id=reader.words.end,
        pad_token_id=reader.words.pad,
    )
    return reader.words.decode(made[0].tolist()).strip()


@pytest.mark.parametrize("texts", [0, 1, 3], ids=["vectors", "mixed", "text"])
def test_a_context_reads_as_its_parts_do(found: Recall, reader: MemoryReader, texts: int) -> None:
    context = found.pack(max_positions=500, texts=texts)
    assert len(context.texts) == texts
    said = reader.answer(QUESTION, context, max_new_tokens=16)
    parts = reader.answer(QUESTION, context.vectors, text=context.text, max_new_tokens=16)
    assert said == parts
    others = reader.answer(QUESTION, context.vectors[:-1], max_new_tokens=16)
    assert said != others


@pytest.mark.parametrize("texts", [0, 1, 3], ids=["vectors", "mixed", "text"])
def test_the_bare_model_goes_on_from_the_embeddings_as_the_reader_answers(
    found: Recall, reader: MemoryReader, texts: int
) -> None:
    context = found.pack(max_positions=500, texts=texts)
    embeds, mask = context.to_embeds(reader, PROMPT)
    assert mask.shape == embeds.shape[:2]
    assert bool((mask == 1).all())
    assert generated(reader, embeds, mask) == reader.answer(QUESTION, context, max_new_tokens=16)


def test_embeddings_take_the_positions_that_the_context_counts(
    found: Recall, reader: MemoryReader
) -> None:
    vectors = found.pack(max_positions=500)
    hidden = reader.parts.origin.hidden_size
    # An edge before each memory and one behind the last.
    assert vectors.to_embeds(reader)[0].shape == (1, vectors.positions + len(found) + 1, hidden)
    text = found.pack(max_positions=500, texts=3)
    start = len(reader.words.start)
    assert text.to_embeds(reader)[0].shape == (1, text.positions + start, hidden)
    mixed = found.pack(max_positions=500, texts=1)
    embeds, _ = mixed.to_embeds(reader, "Hm")
    places = mixed.positions + len(mixed.vectors) + 1 + start + len(reader.words.encode("Hm"))
    assert embeds.shape == (1, places, hidden)


def test_vectors_come_first_and_in_the_order_they_were_said(
    found: Recall, reader: MemoryReader
) -> None:
    context = found.pack(max_positions=500)
    embeds, _ = context.to_embeds(reader, PROMPT)
    in_order, _ = reader.embeds(sorted(found, key=lambda hit: hit.id))
    assert torch.equal(embeds[:, : in_order.shape[1]], in_order)


def test_what_a_server_gets_decodes_to_the_same_tensor(found: Recall, reader: MemoryReader) -> None:
    context = found.pack(max_positions=500, texts=1)
    embeds, _ = context.to_embeds(reader, PROMPT)
    sent = context.to_prompt_embeds(reader, PROMPT)
    # As vLLM reads it: strict base64, weights only.
    raw = base64.b64decode(sent, validate=True)
    loaded = torch.load(io.BytesIO(raw), weights_only=True)
    assert loaded.dtype == torch.float32
    assert loaded.shape == embeds.shape[1:]
    assert torch.equal(loaded, embeds[0])
    # The tensor alone was written, not what it was a view of.
    assert len(raw) < loaded.nbytes + 4096


def test_a_bare_language_model_is_told_of_the_way_out(found: Recall, reader: MemoryReader) -> None:
    context = found.pack(max_positions=500)
    for use in (context.to_embeds, context.to_prompt_embeds):
        with pytest.raises(
            InputError, match=r"LlamaForCausalLM has not .* MemoryReader\.from_causal_lm"
        ):
            use(reader.parts.model.lm)  # type: ignore[operator]


def test_slot_attention_has_no_embeddings(found: Recall) -> None:
    with pytest.raises(InputError, match=r"slot attention.*reader\.answer"):
        found.pack(max_positions=500).to_embeds(tiny_reader("slots"))


def test_an_empty_recall_has_no_embeddings(memory: Memory, reader: MemoryReader) -> None:
    empty = memory.recall(QUESTION).pack(max_positions=500)
    with pytest.raises(InputError, match="no memories, no embeddings"):
        empty.to_embeds(reader)
    # A prompt alone is something to read.
    embeds, mask = empty.to_embeds(reader, PROMPT)
    assert generated(reader, embeds, mask) == reader.answer(QUESTION, empty, max_new_tokens=16)


def test_memories_of_another_bundle_are_refused(found: Recall) -> None:
    context = found.pack(max_positions=500)
    with pytest.raises(InputError, match="not of this reader's bundle"):
        tiny_reader("positions", 1).answer(QUESTION, context)
