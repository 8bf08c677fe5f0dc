"""The compression benchmark: its rows are what the reader would write, and it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard

from agentmem.models.reader.decoding import decode_batch
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.saving import save_reader
from agentmem.models.reader.sequence import Branch, lay_out
from benchmarks.reading import compression
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


def item(*expected: str) -> Item:
    return Item("qa-dev", "x", LINES, "when is the train?", expected, (), bool(expected))


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
    branch = Branch(prompt.question("when is the train?"))
    laid = lay_out(prompt.prefix, [prompt.memory(line) for line in LINES], [branch])
    assert len(found) == len(RATIOS)
    for ratio, text in zip(RATIOS, found, strict=True):
        [ids] = decode_batch(model, batch_of(laid), ratio, end=prompt.end, adapted=False).ids
        assert text == prompt.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert len(set(found)) > 1


def test_scores_are_over_the_same_questions() -> None:
    items = [item("Ana"), item("Bo")]
    rows = [["Ana", "Ana", "Ana", None, "Rex"], ["Bo", "Bo Rex", "Rex", "Bo", "Rex"]]
    found = score(items, rows)
    assert found["questions"] == 2
    assert [row["exact"] for row in found["ratios"].values()] == [1, 0.5, 0.5, 0.5, 0]
    assert [row["abstained"] for row in found["ratios"].values()] == [0, 0, 0, 0.5, 0]
    assert found["ratios"]["2"]["f1"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert found["ratios"]["4"]["of_all_states"] == 0.5


def test_a_run_goes_on_from_the_answers_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_lm(tmp_path / "models" / "tiny", max_position_embeddings=2048)
    lm = tiny_lm(max_position_embeddings=2048)
    save_reader(reading_model(lm, language_model="test/tiny"), tmp_path / "reader")
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "models"))
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
    args: dict[str, Any] = {"questions": questions, "reader": tmp_path / "reader", "quiet": True}
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
