"""``python -m benchmarks.reading.compression``: answers from compressed memories.

Questions of qa-dev that have an answer, each answered from the same memories at several ratios:
their states are made and scored once, and a row of a batch for each ratio sees its share of them.
The memories are ranked by a recall among them, which says of which a question reads most where it
chooses, see `agentmem.models.reader.selection`. Nothing is withheld. In bfloat16, with the adapters
added to the model's weights, which is all that they are where everything is read with them: seconds
of one core a question.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer
from rich.table import Table
from torch import Tensor
from transformers import DynamicCache

from agentmem.evaluation.result import build_result, write_result
from agentmem.models.bundle.manifest import READER, shipped_bundle
from agentmem.models.huggingface import load_causal_lm, load_tokenizer
from agentmem.models.reader.compressed import encode_scored
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.language_model import find_language_model
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.question_weights import question_weights
from agentmem.models.reader.saving import load_config, load_weights
from agentmem.models.reader.selection import KEPT_RATIO, NOT_KEPT, keep_best, keep_greatest
from agentmem.models.reader.states import append_memories
from agentmem_cli.commands.evaluate import ResultOption
from agentmem_cli.options import QuietOption
from agentmem_cli.output import Output
from benchmarks.command import run
from benchmarks.reading.answers import Answer, answer_text
from benchmarks.reading.items import Item, context_items, ranked
from benchmarks.reading.scores import exact, f1, interval

RATIOS = (1, 2, 4, 8, 16)
# As in `reading.toml`.
_PER_SOURCE, _SEED, _MOST = 60, 3, 24


def compression(
    questions: Annotated[Path, typer.Option("--questions", help="qa-dev.jsonl.zst.")],
    reader: Annotated[
        Path | None, typer.Option("--reader", help="A reader's folder; the shipped one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many questions.")] = 400,
    work: Annotated[
        Path | None, typer.Option("--work", help="File that keeps answers; a run goes on from it.")
    ] = None,
    json: ResultOption = None,
    quiet: QuietOption = False,
) -> None:
    """Answer questions from memories at several ratios of compression."""
    out = Output(quiet=quiet)
    began = time.perf_counter()
    place = reader or shipped_bundle() / READER
    model, prompt = load(place)
    items = [
        item
        for item in context_items(questions, prompt, per_source=_PER_SOURCE, seed=_SEED)
        if item.answerable
    ]
    Random(_SEED).shuffle(items)
    kept = _read(work)
    with out.progress("reading") as bar:
        for number, item in enumerate(items[:limit]):
            if number == len(kept):
                kept.append([one.text for one in answers(ranked(item), model, prompt)])
                _append(work, kept[-1])
            bar(number + 1, min(limit, len(items)), "qa-dev")
    result = build_result(
        "reading-compression",
        config={"per_source": _PER_SOURCE, "ratios": list(RATIOS), "dtype": "bfloat16"},
        seed=_SEED,
        seconds=round(time.perf_counter() - began, 1),
        results=score(items[:limit], kept[:limit]),
        threads=1,
    )
    if json is not None:
        write_result(json, result)

    def human() -> Table:
        shown = Table("tokens per kept state", "F1", "exact")
        for ratio, figures in result.results["ratios"].items():
            shown.add_row(ratio, f"{figures['f1']:.3f}", f"{figures['exact']:.3f}")
        return shown

    out.emit(json=dict, human=human, quiet=lambda: ())


def load(reader: Path) -> tuple[ReadingModel, ReadingPrompt]:
    """A reader in bfloat16, its adapters added to the weights of its language model."""
    torch.set_num_threads(1)
    config = load_config(reader)
    folder = find_language_model(config.language_model)
    model = ReadingModel(load_causal_lm(folder, torch.float32), config)
    load_weights(model, reader)
    return merged(model), ReadingPrompt.of(load_tokenizer(folder), config.system_prompt)


@torch.no_grad()
def merged(model: ReadingModel) -> ReadingModel:
    """The model in bfloat16, with its adapters in its weights; changed in place."""
    for layer in model.adapted.values():
        layer.base.weight += layer.up @ layer.down
    return model.to(torch.bfloat16).train(False)


@torch.no_grad()
def answers(item: Item, model: ReadingModel, prompt: ReadingPrompt) -> list[Answer]:
    """The answers to a question at each of `RATIOS`; nothing is withheld."""
    lm, start = model.lm, len(prompt.prefix)
    memories = [prompt.memory(line) for line in item.memories]
    scored = encode_scored(lm, memories, prefix=prompt.prefix)
    cache = DynamicCache()
    lm.model(input_ids=torch.tensor([prompt.prefix]), past_key_values=cache, use_cache=True)
    end = append_memories(lm, cache, [states for states, _ in scored], start)
    starts = [prompt.starts(line) for line in item.memories]
    found = question_weights(item.question, item.memories, starts, item.ranks)
    weights = [torch.from_numpy(one) for one in found]
    rows = [_visible([scores for _, scores in scored], weights, start, ratio) for ratio in RATIOS]
    return write(lm, cache, torch.stack(rows, dim=1), prompt.question(item.question), end, prompt)


def _visible(scores: Sequence[Tensor], weights: Sequence[Tensor], start: int, ratio: int) -> Tensor:
    """What each head sees of a prefix and memories, bool (L, G, T)."""
    kept = [keep_greatest(own, min(ratio, KEPT_RATIO)) for own in scores]
    if ratio > KEPT_RATIO:
        weighted = [
            torch.where(there, own * weight, NOT_KEPT)
            for there, own, weight in zip(kept, scores, weights, strict=True)
        ]
        kept = keep_best(weighted, -(-sum(own.numel() for own in scores) // ratio))
    return torch.cat([torch.ones(*kept[0].shape[:2], start, dtype=torch.bool), *kept], dim=2)


def write(
    lm: Any, cache: DynamicCache, visible: Tensor, request: Sequence[int], at: int, prompt: Any
) -> list[Answer]:
    """Greedy answers to a request, of B rows that see other parts of one cache.

    Args:
        lm: The language model.
        cache: Of one sequence of T positions.
        visible: What each row sees of them, bool (L, B, G, T).
        request: Token ids of the request.
        at: Its position.
        prompt: Says what ends an answer.
    """
    rows = visible.shape[1]
    cache = deepcopy(cache)
    cache.batch_repeat_interleave(rows)
    written: list[list[int]] = [[] for _ in range(rows)]
    logs: list[list[float]] = [[] for _ in range(rows)]
    absent: list[float] | None = None
    going = set(range(rows))
    feed = torch.tensor([list(request)]).expand(rows, -1)
    for _ in range(_MOST):
        count, before = feed.shape[1], cache.get_seq_length()
        seen = torch.ones(rows, 1, count, before + count, dtype=torch.bool).tril(before)
        hidden = lm.model(
            input_ids=feed,
            attention_mask=seen,
            position_ids=torch.arange(at, at + count)[None],
            past_key_values=cache,
            use_cache=True,
            visible=visible,
        ).last_hidden_state[:, -1]
        scores = lm.lm_head(hidden).float().log_softmax(-1)
        best, tokens = scores.max(-1)
        if absent is None:
            absent = scores[:, prompt.ids(NOT_IN_MEMORY)[0]].exp().tolist()
        for row in sorted(going):
            token = int(tokens[row])
            logs[row].append(float(best[row]))
            if token == prompt.end:
                going.discard(row)
            else:
                written[row].append(token)
        if not going:
            break
        at += count
        feed = tokens[:, None]
    return [
        Answer(answer_text(ids, prompt.tokenizer), none, math.exp(sure[0]), math.fsum(sure))
        for ids, none, sure in zip(written, absent or [], logs, strict=True)
    ]


def score(items: Sequence[Item], kept: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """F1 and exact match at each ratio, and F1 as a share of that of all states, with intervals."""
    found: dict[str, Any] = {}
    values = {
        ratio: [f1(row[n] or "", item.expected) for row, item in zip(kept, items, strict=True)]
        for n, ratio in enumerate(RATIOS)
    }
    for n, ratio in enumerate(RATIOS):
        right = [exact(row[n] or "", item.expected) for row, item in zip(kept, items, strict=True)]
        found[str(ratio)] = {
            "f1": _mean(values[ratio]),
            "f1_interval": interval(values[ratio], seed=_SEED),
            "of_all_states": round(_mean(values[ratio]) / max(_mean(values[1]), 1e-9), 4),
            "exact": _mean([float(one) for one in right]),
            "abstained": _mean([float(row[n] is None) for row in kept]),
        }
    return {"questions": len(items), "ratios": found}


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 4) if values else 0.0


def _read(work: Path | None) -> list[list[str | None]]:
    if work is None or not work.is_file():
        return []
    return [json.loads(line) for line in work.read_text(encoding="utf-8").splitlines()]


def _append(work: Path | None, row: Sequence[str | None]) -> None:
    if work is not None:
        with work.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run(compression)
