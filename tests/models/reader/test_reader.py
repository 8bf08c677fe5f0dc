"""`StatesReader`: answers, streaming, its cache of states, and invalid arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ByT5Tokenizer

from agentmem.errors import InputError, ModelError, ModelNotFoundError
from agentmem.models.reader.question_weights import question_weights
from agentmem.models.reader.reader import Reading, StatesReader, _Stream
from agentmem.models.reader.rounding import restore_adapters, round_adapters
from agentmem.models.reader.saving import save_reader
from agentmem.models.reader.sequence import Branch, lay_out
from tests.support.language_models import (
    FAMILIES,
    greedy,
    reading_model,
    save_lm,
    tiny_lm,
    tiny_tokenizer,
)

LINES = ("Ana (3 May 2026): I booked the train to Lyon.", "Bo: my dog is called Rex.", "Bo: hi")
QUESTION = "when is the train?"


def reader_of(lm: Any, **options: Any) -> StatesReader:
    return StatesReader(reading_model(lm), tiny_tokenizer(), **options)


@pytest.mark.parametrize(("mode", "ratio"), [("text", 0), ("states", 1), ("states", 4)])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_writes_what_one_pass_over_everything_would(family: str, mode: Any, ratio: int) -> None:
    reader = reader_of(tiny_lm(family), ratio=max(ratio, 1))
    prompt = reader.prompt
    memories = [prompt.memory(line) for line in LINES]
    request = prompt.question(QUESTION)
    ids = greedy(
        reader.model,
        lambda written: lay_out(prompt.prefix, memories, [Branch([*request, *written])]),
        ratio,
        prompt.end,
        8,
    )
    reading = reader.read(QUESTION, LINES, mode=mode, max_tokens=8)
    wanted = prompt.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert reading.text == (wanted or None)
    assert 0 <= reading.confidence <= 1
    # All of Mistral's layers look through a window, and here the notes are behind it.
    assert sum(reading.shares) == pytest.approx(0 if family == "mistral" else 1)
    assert len(reading.shares) == len(LINES)


def test_an_answer_is_withheld_where_it_is_likely_that_there_is_none() -> None:
    pieces: list[str] = []
    lm = tiny_lm()
    sure = reader_of(lm).read(QUESTION, LINES, max_tokens=4)
    assert sure.text
    absent = 1 - sure.confidence
    for limit, text in ((absent * 1.1, sure.text), (absent * 0.9, None)):
        model = reading_model(tiny_lm(), abstain_above=limit)
        reading = StatesReader(model, tiny_tokenizer()).read(
            QUESTION, LINES, max_tokens=4, on_text=pieces.append
        )
        assert reading.text == text
        assert reading.confidence == pytest.approx(sure.confidence if text else absent, rel=1e-3)
    assert "".join(pieces) == sure.text


def test_an_answer_is_withheld_where_its_beginning_is_uncertain() -> None:
    sure = reader_of(tiny_lm()).read(QUESTION, LINES, max_tokens=4)
    assert sure.text
    pieces: list[str] = []
    for limit, text in ((0.0, sure.text), (1.0, None)):
        reader = StatesReader(reading_model(tiny_lm(), certain_from=limit), tiny_tokenizer())
        reading = reader.read(QUESTION, LINES, max_tokens=4, on_text=pieces.append)
        assert reading.text == text
        assert reading.confidence == pytest.approx(sure.confidence if text else 1 - sure.confidence)
    assert "".join(pieces) == sure.text


@pytest.mark.parametrize("seed", range(3))
def test_the_pieces_are_the_answer(seed: int) -> None:
    reader, pieces = reader_of(tiny_lm(seed=seed)), list[str]()
    reading = reader.read(QUESTION, LINES, max_tokens=12, on_text=pieces.append)
    assert "".join(pieces) == (reading.text or "")
    assert all(pieces)


@pytest.mark.parametrize(
    ("texts", "pieces"),
    [
        ([" Ly", " Lyon", " Lyon ", " Lyon  at", " Lyon  at "], ["Ly", "on", "  at"]),
        (["a", "a\ufffd", "a\ufffd", "aü"], ["a", "ü"]),
        (["a", "a\ufffd"], ["a", "\ufffd"]),
        (["Not", "Not in", "Not in memory", "Not in memory."], []),
        (["No", "Not", "Not in Lyon"], ["Not in Lyon"]),
        (["N", "No"], ["No"]),
        ([" "], []),
    ],
)
def test_a_stream(texts: list[str], pieces: list[str]) -> None:
    got: list[str] = []
    stream = _Stream(got.append)
    for text in texts:
        stream.show(text)
    stream.end(texts[-1])
    assert got == pieces


def near(one: Reading, other: Reading) -> None:
    """Equal, but for what another batch may change."""
    assert one.text == other.text
    assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
    assert one.shares == pytest.approx(other.shares, abs=1e-3)


def sizes_of(*lines: str) -> list[int]:
    return [len(packed) for packed in reader_of(tiny_lm()).make_states(lines)]


def test_what_is_kept_stays_within_its_bytes_and_changes_no_answer() -> None:
    lm = tiny_lm()
    plain = reader_of(lm).read(QUESTION, LINES, mode="states", max_tokens=5)
    sizes = sizes_of(*LINES)
    for room in (0, 1, min(sizes) - 1, min(sizes), sum(sizes) - 1, 10**9):
        reader = reader_of(tiny_lm(), cache_bytes=room)
        for lines in (LINES, LINES[::-1], (LINES[0], LINES[0]), (), LINES):
            reading = reader.read(QUESTION, lines, mode="states", max_tokens=5)
            assert reader.kept_bytes <= room
            if lines == LINES:
                near(reading, plain)
    assert reader.kept_bytes == sum(sizes)
    reader.drop_states()
    assert reader.kept_bytes == 0
    near(reader.read(QUESTION, LINES, mode="states", max_tokens=5), plain)


def test_a_memory_that_is_too_large_drives_out_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = sizes_of(*LINES)
    reader = reader_of(tiny_lm(), cache_bytes=sizes[1] + sizes[2])
    reader.read(QUESTION, LINES[1:], mode="states", max_tokens=1)
    assert reader.kept_bytes == sizes[1] + sizes[2] < sizes[0] + sizes[1]
    long = LINES[0] + LINES[1]
    reader.read(QUESTION, [long], mode="states", max_tokens=1)
    assert reader.kept_bytes == sizes[1] + sizes[2]
    made: list[int] = []

    def spy(lm: Any, memories: list[list[int]], **options: Any) -> list[Any]:
        made.append(len(memories))
        return []

    monkeypatch.setattr("agentmem.models.reader.reader.encode_memories", spy)
    reader.read(QUESTION, LINES[1:], mode="states", max_tokens=1)
    assert made == [0]


def test_the_least_recently_read_goes_first() -> None:
    lines = ("qz", "zq", "zz")  # three tokens each
    reader = reader_of(tiny_lm(), cache_bytes=2 * sizes_of(lines[0])[0])
    for line in (lines[0], lines[1], lines[0], lines[2]):
        reader.read(QUESTION, [line], mode="states", max_tokens=1)
    assert [reader.digest(line) in reader._kept for line in lines] == [True, False, True]


def test_an_answer_takes_a_token() -> None:
    with pytest.raises(InputError, match="max_tokens=0"):
        reader_of(tiny_lm()).read(QUESTION, LINES, max_tokens=0)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InputError, match="unknown mode 'vectors'"):
        reader_of(tiny_lm()).read(QUESTION, LINES, mode="vectors")  # type: ignore[arg-type]


def test_a_withheld_answer_has_no_citations() -> None:
    reader = reader_of(tiny_lm())
    reader.model.config = reader.model.config.model_copy(update={"abstain_above": 1e-12})
    reading = reader.read(QUESTION, LINES)
    assert (reading.text, reading.shares) == (None, (0.0,) * len(LINES))


@pytest.mark.parametrize("ratio", [1, 4, 16])
def test_kept_states_need_no_pass_over_anything(ratio: int) -> None:
    reader = reader_of(tiny_lm(), ratio=ratio)
    wanted = reader.read(QUESTION, LINES, mode="states", max_tokens=3)
    passes: list[int] = []
    hook = reader.model.lm.model.register_forward_hook(lambda *_: passes.append(1))
    reader._packed([reader.prompt.memory(line) for line in LINES], None)
    hook.remove()
    assert passes == []
    assert reader.read(QUESTION, LINES, mode="states", max_tokens=3) == wanted


def test_the_fingerprint_does_not_depend_on_what_was_read() -> None:
    fresh, used = reader_of(tiny_lm()), reader_of(tiny_lm())
    used.read(QUESTION, LINES, mode="states", max_tokens=3)
    assert used.fingerprint == fresh.fingerprint
    assert used.digest(LINES[0]) == fresh.digest(LINES[0]) != fresh.digest(LINES[1])


def test_no_memories() -> None:
    reading = reader_of(tiny_lm()).read(QUESTION, [], max_tokens=3)
    assert reading.shares == ()


def test_more_memories_than_positions() -> None:
    reader = reader_of(tiny_lm(max_position_embeddings=160))
    room = reader.room(QUESTION, max_tokens=4)
    assert 0 < room < 160
    with pytest.raises(InputError, match=r"40 memories, .* has 160: read fewer memories"):
        reader.read(QUESTION, LINES[2:] * 40, max_tokens=4)
    assert reader.kept_bytes == 0
    fitting = room // reader.count_tokens(LINES[2])
    assert len(reader.read(QUESTION, LINES[2:] * fitting, max_tokens=4).shares) == fitting


def test_reading_twice_gives_the_same_answer() -> None:
    reader = reader_of(tiny_lm())
    first = reader.read(QUESTION, LINES, mode="text", max_tokens=4)
    near(reader.read(QUESTION, LINES, max_tokens=4), first)


def test_each_ratio_makes_states_of_its_own() -> None:
    whole, quarter = reader_of(tiny_lm()), reader_of(tiny_lm(), ratio=4)
    assert whole.fingerprint != quarter.fingerprint != reader_of(tiny_lm(), ratio=2).fingerprint
    made = [len(reader.make_states(LINES[:1])[0]) for reader in (whole, quarter)]
    assert made[1] < made[0] / 2
    for ratio in (0, -3):
        with pytest.raises(InputError, match=f"ratio={ratio}: 1 keeps the states of all tokens"):
            reader_of(tiny_lm(), ratio=ratio)


def test_ratios_above_four_read_less_of_the_same_states() -> None:
    quarter, *others = (reader_of(tiny_lm(), ratio=ratio) for ratio in (4, 8, 16))
    made = quarter.make_states(LINES)
    seen: list[int] = []
    for reader in others:
        assert reader.fingerprint == quarter.fingerprint
        assert reader.make_states(LINES) == made
        memories = [reader.prompt.memory(line) for line in LINES]
        starts = [reader.prompt.starts(line) for line in LINES]
        weights = question_weights(QUESTION, LINES, starts, (0, 1, 2))
        context = reader._read_states(memories, None, weights)
        assert context.held is not None
        prefix = len(reader.prompt.prefix)
        seen.append(sum(int((own[:, prefix:] >= 0).sum()) for own in context.held.positions))
        every = sum(len(own) for own in context.held.positions) * sum(map(len, memories))
        assert seen[-1] == -(-every // reader.ratio)
        assert reader.read(QUESTION, LINES, mode="states", max_tokens=4).shares
        # What has no memories has nothing to choose from.
        assert reader.read(QUESTION, [], mode="states", max_tokens=4).shares == ()
    assert seen[0] > seen[1]


def test_a_tokenizer_without_places_reads_up_to_a_ratio_of_four() -> None:
    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = tiny_tokenizer().chat_template
    model = reading_model(tiny_lm())
    assert StatesReader(model, tokenizer, ratio=4).make_states(LINES)
    with pytest.raises(ModelError, match=r"ratio=5: ByT5Tokenizer .* above 4 needs: use 4 or less"):
        StatesReader(model, tokenizer, ratio=5)


def test_better_hits_are_read_more_closely() -> None:
    reader = reader_of(tiny_lm(), ratio=16)
    lines = ("Ana: my dog is called Rex.", "Ana: my dog is called Max.")
    found = [
        reader.read("?", lines, mode="states", max_tokens=4, ranks=ranks).confidence
        for ranks in ((0, 1), (1, 0))
    ]
    assert found[0] != found[1]


def test_from_files(tmp_path: Path) -> None:
    lm = save_lm(tmp_path / "lm")
    model = reading_model(tiny_lm())
    with torch.no_grad():  # as saved
        saved = restore_adapters(round_adapters(model.trainable()))
        for name, weights in model.trainable().items():
            weights.copy_(saved[name])
    save_reader(model, tmp_path / "reader")
    loaded = StatesReader.from_pretrained(tmp_path / "reader", lm)
    made = StatesReader(model, tiny_tokenizer())
    near(loaded.read(QUESTION, LINES, max_tokens=5), made.read(QUESTION, LINES, max_tokens=5))


def test_models_that_are_rejected(tmp_path: Path) -> None:
    lm = save_lm(tmp_path / "lm")
    with pytest.raises(ModelNotFoundError, match=r"has no reader\.json"):
        StatesReader.from_pretrained(tmp_path, lm)
    save_reader(reading_model(tiny_lm()), tmp_path / "reader")
    with pytest.raises(ModelError, match="no causal language model in"):
        StatesReader.from_pretrained(tmp_path / "reader", tmp_path / "reader")
    save_reader(reading_model(tiny_lm(hidden_size=64)), tmp_path / "other")
    with pytest.raises(ModelError, match="do not belong to this reader"):
        StatesReader.from_pretrained(tmp_path / "other", lm)
    with pytest.raises(ModelError, match="has no chat template"):
        StatesReader(reading_model(tiny_lm()), tiny_tokenizer(None))
