"""Parts of a reader's evaluation, each beside another way to come to the same."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from agentmem.evaluation.reading_config import CostConfig, FollowingConfig, LookupConfig
from agentmem.evaluation.reading_cost import Cost
from agentmem.evaluation.reading_following import Following
from agentmem.evaluation.reading_recite import Lookup
from agentmem.evaluation.reading_sheets import Ids, Sheet, Way, store, ways_of
from agentmem.models.bundle import ModelBundle, load_bundle
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.prompts import answer_text, question_prompt
from agentmem.models.reader.reader import MemoryReader
from agentmem.models.reader.slots import Slots
from agentmem.training.chunks import draw_chunks
from agentmem.training.data import PackedFile, pack
from tests.eval_reading_support import (
    HIDDEN,
    LAYERS,
    RAW,
    SLOTS,
    WIDTH,
    make_place,
    reader_of,
)

FLOAT = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("reading-parts"))


@pytest.fixture(scope="module")
def bundle(place: Path) -> ModelBundle:
    return load_bundle(str(place / "bundle"))


@pytest.fixture(scope="module")
def file(place: Path) -> PackedFile:
    return pack(place / "corpus" / "one.jsonl", place / "bundle" / "tokenizer", place / "cache")


@pytest.fixture(scope="module", params=["slots", "positions"])
def reader(request: pytest.FixtureRequest, place: Path) -> MemoryReader:
    """A reader whose every answer depends on its memories; what it says makes no sense."""
    made = reader_of(place, SLOTS if request.param == "slots" else RAW, initializer_range=0.4)
    if request.param == "slots":
        with torch.no_grad():
            for attention in made.parts.model.attention.values():
                attention.gate.fill_(2.0)
                attention.out.weight.mul_(100.0)
    return made


def drawn(file: PackedFile, lengths: list[list[int]]) -> list[list[Ids]]:
    rng = np.random.default_rng(0)
    starts = [[int(rng.integers(0, len(file.ids) - n)) for n in row] for row in lengths]
    return [
        [file.ids[at : at + n].astype(np.int64) for at, n in zip(places, row, strict=True)]
        for places, row in zip(starts, lengths, strict=True)
    ]


def test_memories_are_what_a_store_would_keep(bundle: ModelBundle, file: PackedFile) -> None:
    groups = drawn(file, [[20, 5], [33], [16]])
    kept = store(bundle, groups, ["dense", "standard"])
    for at, (group, ids) in enumerate(zip(kept, groups, strict=True)):
        # Groups take the densities in turn.
        density = ["dense", "standard"][at % 2]
        coded = bundle.encode([one.tolist() for one in ids], density=density)
        for one, row in zip(group, coded, strict=True):
            assert np.array_equal(one.latents, row.latents)
            assert one.packed == row.packed
        assert [one.tokens for one in group] == list(map(len, ids))
    assert kept[0][0].packed != store(bundle, groups, ["standard"])[0][0].packed


def test_answers_are_the_readers_own_and_in_order(
    reader: MemoryReader, bundle: ModelBundle, file: PackedFile
) -> None:
    lengths = [[30, 12], [40], [8, 8, 8], [17, 33]]
    groups = drawn(file, lengths)
    asked = [["Who?", "When did she say so?"], ["Where to?"], ["What?", "How many?"], ["Why?"]]
    sheet = Sheet(
        bundle,
        ["standard"],
        memories=groups,
        cut=[[group[0][:2]] for group in groups],
        prompts=[[partial(question_prompt, question=q) for q in row] for row in asked],
    )
    seen: list[int] = []
    by_way = {}
    for way in (Way("vectors", reader, "memories"), Way("cut text", reader, "cut")):
        made = sheet.answers(way, 8, lambda rows, note: seen.append(rows), "test")
        memories = sheet.memories(way)
        assert made is not None
        assert memories is not None
        by_way[way.name] = [answer_text(reader.words, ids) for ids in made]
        assert by_way[way.name] == [
            reader.answer(question, group, max_new_tokens=8)
            for questions, group in zip(asked, memories, strict=True)
            for question in questions
        ]
    assert sum(seen) == 2 * sheet.rows == 12
    assert by_way["vectors"] != by_way["cut text"]
    nothing = sheet.answers(Way("no memory", reader, "nothing"), 8, lambda *_: None, "test")
    assert nothing is not None
    assert [answer_text(reader.words, ids) for ids in nothing] != by_way["vectors"]


def test_perplexity_is_that_of_the_models_own_loss(
    reader: MemoryReader, bundle: ModelBundle, file: PackedFile
) -> None:
    config = FollowingConfig(memories=2, memory_tokens=24, tokens=10, rows=9)
    following = Following(config, file, bundle, ["standard"], seed=(1, 2))
    model, words = reader.parts.model, reader.words
    nats = 0.0
    for row in draw_chunks([file], [1], count=9, tokens=58, seed=(1, 2)).tolist():
        ids = torch.tensor([[*words.start, *row[48:]]])
        memory = torch.tensor(row[:48]).view(1, 2, 24)
        lengths = torch.full((1, 2), 24)
        slots = Slots(bundle.quantised(memory, lengths, "standard"), lengths)
        labels = ids.clone()
        labels[:, 0] = IGNORED
        with torch.no_grad():
            nats += 10 * float(model(ids, torch.ones_like(ids), slots, labels).loss)
    found = following.measure(Way("vectors", reader, "memories"), lambda *_: None)
    assert found["perplexity"] == pytest.approx(math.exp(nats / 90), rel=1e-3)
    nothing = following.measure(Way("no memory", reader, "nothing"), lambda *_: None)
    assert nothing["perplexity"] != pytest.approx(found["perplexity"], rel=1e-2)


def test_the_cut_text_of_a_look_up_has_as_many_tokens_as_vectors(
    place: Path, bundle: ModelBundle, file: PackedFile
) -> None:
    config = LookupConfig(memories=[3], memory_tokens=40, cue=4, following=8, rows=7)
    lookup = Lookup(config, [file], bundle, ["standard"], memories=3, seed=(0,))
    ways = {way.name: way for way in ways_of(reader_of(place, SLOTS), reader_of(place, RAW))}
    assert lookup.sheet.rows == 9  # whole readings
    assert lookup.sheet.positions(ways["vectors"]) == 9
    assert lookup.sheet.positions(ways["raw tokens"]) == 120
    assert lookup.sheet.positions(ways["cut text"]) == 9
    assert lookup.sheet.positions(ways["no memory"]) == 0


def test_what_is_kept_is_counted_in_bytes(place: Path, file: PackedFile) -> None:
    reader, seen = reader_of(place, SLOTS), []
    config = CostConfig(tokens=[64, 128], memory_tokens=32, repeats=3)
    cost = Cost(config, file, reader, "dense", seed=(0,))
    rows = cost.measure(lambda done, note: seen.append(done))
    assert sum(seen) == cost.rows == 2 * 2 * (3 + 1)
    per_token = LAYERS * 2 * HIDDEN * FLOAT
    prompt = rows[0]["raw"]["kv_bytes"] - 64 * per_token
    assert prompt > 0
    assert prompt % per_token == 0
    for row, tokens, memories in zip(rows, (64, 128), (2, 4), strict=True):
        slots = (tokens + memories + 1) * 2 * WIDTH * FLOAT
        assert row["raw"]["kv_bytes"] == tokens * per_token + prompt
        assert row["vectors"]["kv_bytes"] == slots + prompt
        assert row["raw"]["kv_bytes_per_token"] == per_token
        assert row["vectors"]["kv_bytes_per_token"] == slots / tokens
        assert row["kv_ratio"] == row["raw"]["kv_bytes"] / row["vectors"]["kv_bytes"]
        times = [row[side]["first_token_ms"] for side in ("raw", "vectors")]
        assert row["first_token_ratio"] == times[0] / times[1] > 0


def test_learned_places_end_and_memories_too(bundle: ModelBundle, file: PackedFile) -> None:
    lm = GPT2LMHeadModel(GPT2Config(vocab_size=384, n_positions=64, n_embd=32, n_layer=2, n_head=2))
    config = ReaderConfig(heads=2, width=WIDTH, rope_dims=8, max_memories=3)
    reader = MemoryReader.from_causal_lm(lm, bundle, config=config)
    sizes = CostConfig(tokens=[32, 64, 128], memory_tokens=32, repeats=1)
    rows = Cost(sizes, file, reader, "standard", seed=(0,)).measure(lambda *_: None)
    there = [(row["vectors"] is not None, row["raw"] is not None) for row in rows]
    assert there == [(True, True), (True, False), (False, False)]
    assert [row["kv_ratio"] is None for row in rows] == [False, True, True]
