"""Runs the reading study: every item under every condition, and the scores of each set."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from agentmem.errors import ConfigError
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.models.huggingface import load_causal_lm, load_tokenizer
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.saving import WEIGHTS, load_config, load_weights
from benchmarks.reading.answers import Answer, Condition, answer, withhold
from benchmarks.reading.items import (
    Item,
    context_items,
    locomo_items,
    notebook_items,
    personal_items,
)
from benchmarks.reading.scores import exact, f1, interval, judge
from benchmarks.reading.work import WorkFolder
from benchmarks.relevance.scores import auroc

# Sets of short factual answers, which are right or wrong rather than similar to an expected one.
_JUDGED = ("personal", "notebooks")
_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_CERTAINTIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class StudyConfig(BaseModel):
    """Configuration of the reading study.

    Attributes:
        seed: Determines which questions are sampled.
        per_source: Questions of each source of qa-dev, answerable and not.
        personal_k: How many memories are recalled for a personal question.
        locomo_k: Likewise for LoCoMo.
        locomo_questions: How many of LoCoMo's questions.
        notebook_k: How many memories are recalled for a question about a notebook.
        notebook_questions: How many of those questions.
        tokens: Padded tokens of a batch.
        conditions: Settings of each condition, by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    per_source: int = 60
    personal_k: list[int] = [8]
    locomo_k: list[int] = [8]
    locomo_questions: int = 480
    notebook_k: int = 8
    notebook_questions: int = 480
    tokens: int = 16_384
    conditions: dict[str, dict[str, Any]]


def load_study(path: Path) -> StudyConfig:
    """Read a study's TOML file.

    Raises:
        ConfigError: it is not TOML, or a key is missing, unknown or of the wrong type.
    """
    try:
        return StudyConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise ConfigError(f"{path.name!r}: {error}") from error


def prepare(
    config: StudyConfig,
    prompt: ReadingPrompt,
    questions: Path | None,
    locomo: Path | None,
    notebooks: Path | None,
) -> list[Item]:
    """All items of a study.

    Args:
        config: The study.
        prompt: Of the reader, for its tokenizer.
        questions: The question file, or None to leave that set out.
        locomo: LoCoMo's file, or None.
        notebooks: A file of notebooks that the reader was not trained on, or None.
    """
    items: list[Item] = list(personal_items(config.personal_k))
    if questions is not None:
        items += context_items(questions, prompt, per_source=config.per_source, seed=config.seed)
    if locomo is not None:
        items += locomo_items(
            locomo, config.locomo_k, questions=config.locomo_questions, seed=config.seed
        )
    if notebooks is not None:
        items += notebook_items(
            notebooks, config.notebook_k, questions=config.notebook_questions, seed=config.seed
        )
    return items


def run_study(
    config: StudyConfig,
    *,
    language_model: Path,
    reader: Path,
    questions: Path | None,
    locomo: Path | None,
    notebooks: Path | None,
    work: WorkFolder,
    report: Callable[[str, int, int], None] = lambda condition, done, of: None,
) -> EvalResult:
    """Answer every item under every condition.

    Args:
        config: The study.
        language_model: Folder of the language model.
        reader: Folder of the reader's adapter.
        questions: As in `prepare`; not read if the items have been prepared.
        locomo: Likewise.
        notebooks: Likewise.
        work: Keeps items and answers, which are not made again.
        report: Called with a condition, the number of answers, and of items.
    """
    began = time.perf_counter()
    settings = load_config(reader)
    prompt = ReadingPrompt.of(load_tokenizer(language_model), settings.system_prompt)
    items = work.items(lambda: prepare(config, prompt, questions, locomo, notebooks))
    # Part of the files' names: answers of another reader are not taken for those of this one.
    weights = hashlib.sha256((reader / WEIGHTS).read_bytes()).hexdigest()[:8]
    model: list[ReadingModel] = []
    results: dict[str, Any] = {}
    machines: dict[str, Any] = {}
    for name, how in config.conditions.items():
        condition = Condition(name, **how)

        def decode(condition: Condition = condition) -> list[Answer]:
            if not model:
                model.append(_load(language_model, reader, settings))
            return answer(
                items,
                model[0],
                prompt,
                condition,
                tokens=config.tokens,
                report=lambda done: report(condition.name, done, len(items)),
            )

        answers, machine = work.answers(f"{condition.decoding}-{weights}", decode)
        rule = settings if condition.withheld else _rule(settings, 1.0, 0.0)
        results[name] = score(items, withhold(answers, rule), seed=config.seed)
        for task, value in abstention_auroc(items, answers).items():
            results[name][task]["abstention_auroc"] = value
        if not condition.withheld:
            for task, rows in abstention_curves(items, answers, settings).items():
                results[name][task]["by_threshold"] = rows
        machines[name] = machine
    return build_result(
        "reading",
        config={
            **config.model_dump(),
            "abstain_above": settings.abstain_above,
            "certain_from": settings.certain_from,
            "decoded_on": machines,
        },
        seed=config.seed,
        seconds=round(time.perf_counter() - began, 1),
        results=results,
        threads=1,
    )


def _load(language_model: Path, reader: Path, settings: ReaderConfig) -> ReadingModel:
    torch.set_num_threads(1)
    gpu = torch.cuda.is_available()
    lm = load_causal_lm(language_model, torch.bfloat16 if gpu else torch.float32)
    model = ReadingModel(lm, settings)
    load_weights(model, reader)
    return model.to("cuda" if gpu else "cpu").train(False)


def score(
    items: Sequence[Item], answers: Sequence[str | None], *, seed: int
) -> dict[str, dict[str, Any]]:
    """Scores of each set: F1 and exact match on answerable questions, abstention on the others."""
    sets: dict[str, list[tuple[Item, str | None]]] = {}
    for item, text in zip(items, answers, strict=True):
        sets.setdefault(item.task, []).append((item, text))
    return {
        task: judged(pairs) if task.startswith(_JUDGED) else _scored(pairs, seed)
        for task, pairs in sets.items()
    }


def abstention_auroc(items: Sequence[Item], answers: Sequence[Answer]) -> dict[str, float]:
    """How well the probability of abstention tells unanswerable questions, per set with both."""
    found = {}
    for task in dict.fromkeys(item.task for item in items):
        pairs = [(i, a) for i, a in zip(items, answers, strict=True) if i.task == task]
        absent = np.array([not item.answerable for item, _ in pairs])
        if absent.any() and not absent.all():
            probability = np.array([one.abstention for _, one in pairs])
            found[task] = round(auroc(probability, absent), 4)
    return found


def abstention_curves(
    items: Sequence[Item], answers: Sequence[Answer], settings: ReaderConfig
) -> dict[str, list[dict[str, Any]]]:
    """What a reader would get right and wrong at other thresholds, per set.

    At several values of ``abstain_above`` alone, then at several of ``certain_from`` beside the
    reader's own ``abstain_above``.
    """
    rules = [_rule(settings, above, 0.0) for above in _THRESHOLDS]
    rules += [_rule(settings, settings.abstain_above, certain) for certain in _CERTAINTIES]
    found = {}
    for task in dict.fromkeys(item.task for item in items if item.task.startswith(_JUDGED)):
        pairs = [(i, a) for i, a in zip(items, answers, strict=True) if i.task == task]
        rows = []
        for rule in rules:
            kept = withhold([one for _, one in pairs], rule)
            figures = judged([(item, text) for (item, _), text in zip(pairs, kept, strict=True)])
            at = {"abstain_above": rule.abstain_above, "certain_from": rule.certain_from}
            rows.append({**at, **figures})
        found[task] = rows
    return found


def _rule(settings: ReaderConfig, above: float, certain: float) -> ReaderConfig:
    return settings.model_copy(update={"abstain_above": above, "certain_from": certain})


def judged(pairs: Sequence[tuple[Item, str | None]]) -> dict[str, Any]:
    """How many answers are right, wrong and abstained, see `judge`."""
    verdicts = [
        judge(text, answerable=item.answerable, expected=item.expected, wrong=item.wrong)
        for item, text in pairs
    ]
    return {
        "questions": len(pairs),
        **{name: verdicts.count(name) for name in ("right", "wrong", "abstained")},
        "answerable_right": sum(
            verdict == "right"
            for verdict, (item, _) in zip(verdicts, pairs, strict=True)
            if item.answerable
        ),
        "answerable": sum(item.answerable for item, _ in pairs),
    }


def _scored(pairs: Sequence[tuple[Item, str | None]], seed: int) -> dict[str, Any]:
    asked = [(item, text) for item, text in pairs if item.answerable]
    values = [f1(text or "", item.expected) for item, text in asked]
    absent = [text is None for item, text in pairs if not item.answerable]
    by_source: dict[str, list[float]] = {}
    for (item, _), value in zip(asked, values, strict=True):
        by_source.setdefault(item.source, []).append(value)
    return {
        "answerable": len(asked),
        "f1": _mean(values),
        "f1_interval": interval(values, seed=seed),
        "exact": _mean([float(exact(text or "", item.expected)) for item, text in asked]),
        "abstained": _mean([float(text is None) for _, text in asked]),
        "unanswerable": len(absent),
        "unanswerable_abstained": _mean([float(one) for one in absent]),
        "f1_by_source": {source: _mean(rows) for source, rows in sorted(by_source.items())},
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def conditions_table(results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Rows for people: condition, set, questions, score, share of abstention."""
    rows = []
    for condition, sets in results.items():
        for task, figures in sets.items():
            if "right" in figures:
                n = figures["questions"]
                main = f"right {figures['right']}/{n}, wrong {figures['wrong']}/{n}"
            else:
                main = f"F1 {100 * figures['f1']:.1f} %"
            rows.append([condition, task, main])
    return rows
