"""The compression benchmark: its rows are what the reader would write, and it goes on."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard
from transformers import DynamicCache

from agentmem.models.reader.compressed import append_compressed, encode_compressed, select
from agentmem.models.reader.configuration import NOT_IN_MEMORY, ReaderConfig
from agentmem.models.reader.decoding import decode_batch
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.question_weights import question_weights
from agentmem.models.reader.saving import save_reader
from agentmem.models.reader.sequence import Branch, lay_out
from benchmarks.reading import compression, personal_compression
from benchmarks.reading.answers import Answer
from benchmarks.reading.compression import RATIOS, answers, merged, score
from benchmarks.reading.items import Item
from tests.support.language_models import (
    batch_of,
    reading_model,
    save_lm,
    tiny_lm,
    tiny_tokenizer,
)

LINES = ("Ana (3 May 2026): I booked the train to Lyon.", "Bo: my dog is called Rex.")

QUESTION = "when is the train?"


def item(*expected: str) -> Item:
    return Item("qa-dev", "x", LINES, QUESTION, expected, (), bool(expected), (1, 0))


@torch.no_grad()
def test_adapters_in_the_weights_are_the_same_model() -> None:
    batch = batch_of(lay_out([5, 6], [[7, 8, 9]], [Branch([10, 11])]))
    model = reading_model(tiny_lm())
    wanted = model.hidden(batch, 1)
    with model.gates.set():
        found = (
            merged(model)
            .float()
            .lm.model(
                inputs_embeds=model.lm.get_input_embeddings()(batch.ids),
                **model.pass_inputs(batch, 1),
            )
        )
    # Rounded to bfloat16 in between.
    torch.testing.assert_close(found.last_hidden_state, wanted, atol=0.1, rtol=0.05)


@torch.no_grad()
def test_each_row_is_what_a_reader_at_that_ratio_writes() -> None:
    model = merged(reading_model(tiny_lm())).float()
    prompt = ReadingPrompt.of(tiny_tokenizer(), model.config.system_prompt)
    found = answers(item("9:40"), model, prompt)
    branch = Branch(prompt.question(QUESTION))
    laid = lay_out(prompt.prefix, [prompt.memory(line) for line in LINES], [branch])
    assert len(found) == len(RATIOS)
    assert RATIOS[-2:] == (8, 16)  # see below
    for ratio, one in zip(RATIOS[:-2], found, strict=False):
        absent = prompt.ids(NOT_IN_MEMORY)[0]
        wanted = decode_batch(
            model, batch_of(laid), ratio, end=prompt.end, adapted=False, watch=(absent,)
        )
        assert one.text == prompt.tokenizer.decode(wanted.ids[0], skip_special_tokens=True).strip()
        assert one.abstention == pytest.approx(exp(wanted.first[0][0]), rel=1e-3)
        assert one.certainty == pytest.approx(exp(wanted.certainties[0]), rel=1e-3)
        assert one.log_probability == pytest.approx(wanted.log_probabilities[0], abs=1e-2)
    assert len({one.text for one in found}) > 1


@torch.no_grad()
def test_where_the_question_chooses_each_row_sees_what_a_reader_would() -> None:
    reading = reading_model(tiny_lm())
    prompt = ReadingPrompt.of(tiny_tokenizer(), reading.config.system_prompt)
    memories = [prompt.memory(line) for line in LINES]
    request, start = prompt.question(QUESTION), len(prompt.prefix)
    lm = merged(reading).float().lm
    states = encode_compressed(lm, memories, prefix=prompt.prefix, ratio=4)
    weights = question_weights(QUESTION, LINES, [prompt.starts(line) for line in LINES], (1, 0))
    for ratio, one in zip(RATIOS[-2:], answers(item(), reading, prompt)[-2:], strict=True):
        cache = DynamicCache()
        lm.model(input_ids=torch.tensor([prompt.prefix]), past_key_values=cache, use_cache=True)
        read = select(states, [torch.from_numpy(own) for own in weights], ratio)
        held = append_compressed(lm, cache, read, start)
        hidden = lm.model(
            input_ids=torch.tensor([request]),
            position_ids=torch.arange(held.end, held.end + len(request))[None],
            past_key_values=cache,
            held=held,
        ).last_hidden_state[0, -1]
        first = lm.lm_head(hidden).float().softmax(-1)
        assert one.abstention == pytest.approx(float(first[prompt.ids(NOT_IN_MEMORY)[0]]), rel=1e-3)
        assert one.certainty == pytest.approx(float(first.max()), rel=1e-3)


def test_scores_are_over_the_same_questions() -> None:
    items = [item("Ana"), item("Bo")]
    rows = [["Ana", "Ana", "Ana", None, "Rex"], ["Bo", "Bo Rex", "Rex", "Bo", "Rex"]]
    found = score(items, rows)
    assert found["questions"] == 2
    assert [row["exact"] for row in found["ratios"].values()] == [1, 0.5, 0.5, 0.5, 0]
    assert [row["abstained"] for row in found["ratios"].values()] == [0, 0, 0, 0.5, 0]
    assert found["ratios"]["2"]["f1"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert found["ratios"]["4"]["of_all_states"] == 0.5


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_lm(tmp_path / "models" / "tiny", max_position_embeddings=2048)
    lm = tiny_lm(max_position_embeddings=2048)
    save_reader(reading_model(lm, language_model="test/tiny"), tmp_path / "reader")
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "models"))
    return tmp_path / "reader"


def test_a_run_goes_on_from_the_answers_there_are(tmp_path: Path, reader: Path) -> None:
    records = [
        {
            "kind": "extractive",
            "source": "squad-dev",
            "context": LINES[n % 2],
            "question": "who?",
            "answers": ["Ana"] if n != 1 else [],
        }
        for n in range(4)
    ]
    raw = "".join(json.dumps(record) + "\n" for record in records).encode()
    questions = tmp_path / "qa-dev.jsonl.zst"
    questions.write_bytes(zstandard.compress(raw))
    args: dict[str, Any] = {"questions": questions, "reader": reader, "quiet": True}
    args |= {"work": tmp_path / "work.jsonl", "json": tmp_path / "result.json"}
    compression.compression(**args, limit=2)
    kept = args["work"].read_text().splitlines()
    assert len(kept) == 2
    compression.compression(**args, limit=400)
    again = args["work"].read_text().splitlines()
    assert len(again) == 3  # one has no answer
    assert again[:2] == kept
    found = json.loads(args["json"].read_text())
    assert found["task"] == "reading-compression"
    assert found["results"]["questions"] == 3
    assert list(found["results"]["ratios"]) == ["1", "2", "4", "8", "16"]


def test_personal_questions_with_and_without_thresholds(tmp_path: Path, reader: Path) -> None:
    args: dict[str, Any] = {"reader": reader, "quiet": True}
    args |= {"work": tmp_path / "work.jsonl", "json": tmp_path / "result.json"}
    personal_compression.personal_compression(**args, limit=1)
    kept = args["work"].read_text().splitlines()
    assert len(kept) == 1
    personal_compression.personal_compression(**args, limit=2)
    assert args["work"].read_text().splitlines()[:1] == kept
    found = json.loads(args["json"].read_text())
    assert found["task"] == "personal-compression"
    assert list(found["results"]) == ["1", "2", "4", "8", "16"]
    for row in found["results"].values():
        for figures in row.values():
            assert sum(figures[kind] for kind in ("right", "wrong", "abstained")) == 2


def test_what_is_withheld_is_not_wrong() -> None:
    config = ReaderConfig(language_model="a/b", abstain_above=0.5, certain_from=0.6)
    sure, unsure, absent = (0.1, 0.9, -1.0), (0.1, 0.5, -1.0), (0.7, 0.9, -1.0)
    rows = [[Answer("Ana", *sure)] * 4 + [Answer("Bo", *unsure)], [Answer("Ana", *absent)] * 5]
    found = personal_compression.score([item("Ana"), item()], rows, config)
    assert [(r["withheld"]["right"], r["withheld"]["wrong"]) for r in found.values()] == [
        *[(2, 0)] * 4,
        (1, 0),
    ]
    assert [r["nothing withheld"]["wrong"] for r in found.values()] == [1, 1, 1, 1, 2]
