"""What a reader can do so far: its share of right tokens, and what it writes by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.prompts import answer_text
from agentmem.models.reader.saving import ReaderParts
from agentmem.training.reading import ReadingBatch
from agentmem.training.reading_batches import tensors

_TOKENS = 48
_HEAD = "--- step "


@torch.no_grad()
def tokens_right(
    batches: Sequence[ReadingBatch],
    parts: ReaderParts,
    bundle: ModelBundle,
    precision: Literal["no", "bf16"],
) -> float:
    """Share of answer tokens that come next by the model; teacher-forced, a sign of progress."""
    model = parts.model
    model.train(False)
    device = next(model.parameters()).device
    right = count = 0
    for drawn in batches:
        batch = tensors(drawn, parts.words, bundle, bundle.densities[-1], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(batch.input_ids, batch.attention_mask, memory=batch.memory).logits
        told = batch.labels[:, 1:] != IGNORED
        right += int(((logits[:, :-1].argmax(-1) == batch.labels[:, 1:]) & told).sum())
        count += int(told.sum())
    model.train()
    return right / count


@torch.no_grad()
def write_samples(
    log: Path,
    step: int,
    dev: Mapping[str, Sequence[ReadingBatch]],
    parts: ReaderParts,
    bundle: ModelBundle,
) -> None:
    """Add what the reader writes by itself, one example of each exercise, to ``samples.txt``."""
    model, words = parts.model, parts.words
    model.train(False)
    device = next(model.parameters()).device
    lines = [f"{_HEAD}{step}"]
    for name, batches in dev.items():
        first = batches[0]
        one = ReadingBatch(first.exercise, first.memories[:1], first.prompts[:1], first.answers[:1])
        batch = tensors(one, words, bundle, bundle.densities[-1], device)
        prompt = torch.tensor([one.prompts[0]], device=device)
        made = model.generate(
            prompt,
            torch.ones_like(prompt),
            model.prepare(batch.memory),
            max_new_tokens=_TOKENS,
            do_sample=False,
            eos_token_id=words.end,
            pad_token_id=words.pad,
        )
        wanted = answer_text(words, one.answers[0][:_TOKENS])
        lines += [
            f"{name}: {words.decode(one.prompts[0])!r}",
            f"  wanted {wanted!r}",
            f"  read   {answer_text(words, made[0].tolist())!r}",
        ]
    model.train()
    with log.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def rewind_samples(log: Path, step: int) -> None:
    """Drop what was written after the checkpoint that a run goes on from."""
    if not log.exists():
        return
    kept: list[str] = []
    # No text can look like a head: what is written stands in quotes, on one line.
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith(_HEAD) and int(line.removeprefix(_HEAD)) > step:
            break
        kept.append(line)
    log.write_text("".join(kept), encoding="utf-8")
