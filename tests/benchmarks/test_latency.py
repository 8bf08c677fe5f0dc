"""The benchmark of the first token: every way is measured, and states are really kept."""

from __future__ import annotations

from agentmem.models.reader.reader import StatesReader
from benchmarks.reading.items import Item
from benchmarks.reading.latency import _answer, _measure, _of_lengths
from tests.support.language_models import reading_model, tiny_lm, tiny_tokenizer


def test_first_token() -> None:
    reader = StatesReader(reading_model(tiny_lm()), tiny_tokenizer())
    lines = ["Ana: the train", "Ben: a red bicycle"]
    row = _measure(reader, lines, rounds=2)
    assert row["memories"] == 2
    assert row["tokens"] == sum(map(reader.count_tokens, lines))
    assert row["states_bytes"] == reader.kept_bytes > 0
    assert min(row[f"{way}_seconds"] for way in ("text", "states_made", "states_kept")) >= 0
    short, long = _of_lengths(reader, ["Ana: hello"] * 500)
    assert len(short) < len(long) <= 500
    assert sum(map(reader.count_tokens, short)) <= 1_024


def test_a_whole_answer() -> None:
    reader = StatesReader(reading_model(tiny_lm()), tiny_tokenizer())
    memories = ("Ana: the train", "Ben: a red bicycle")
    tokens, seconds = _answer(reader, Item("personal", "q", memories, "when?", ("x",), (), True))
    assert tokens == sum(map(reader.count_tokens, memories))
    assert seconds > 0
