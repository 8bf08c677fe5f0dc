"""Training a reader: the same loop for one CPU, one GPU and many.

The autoencoder is frozen: memories are encoded and quantised as they will be in a store, and the
reader learns to read that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from agentmem.errors import ConfigError
from agentmem.models.bundle import ModelBundle, load_bundle
from agentmem.models.reader.modeling import IGNORED, ReadingModel
from agentmem.models.reader.prompts import answer_text
from agentmem.models.reader.saving import ReaderParts, new_reader, save_reader
from agentmem.models.reader.slots import Slots
from agentmem.models.tokenizer import BOS, EOS, PAD
from agentmem.training.checkpoint import load_checkpoint, save_checkpoint
from agentmem.training.config import ReaderRunConfig
from agentmem.training.curves import plot_curves
from agentmem.training.data import pack
from agentmem.training.questions import read_questions
from agentmem.training.reading import Exercise, Exercises, ReadingBatch
from agentmem.training.runs import claim_run, local_model, rewind, schedule

Report = Callable[[int, dict[str, Any]], None]
# Evaluations draw steps that training never comes to.
_EVAL_STEP = 1 << 40
_EVAL_BATCHES = 2
_SAMPLE_TOKENS = 48


@dataclass(frozen=True, slots=True, eq=False)
class ReadingTensors:
    """A batch on its device: see `ReadingModel.forward`."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    memory: Slots | None


def train_reader(
    config: ReaderRunConfig,
    *,
    corpus: str | Path,
    lm: str | None = None,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the reader in the run's folder.

    A run that was interrupted goes on from its last checkpoint, with the same batches.

    Args:
        config: The run.
        corpus: Folder of the files that the configuration names.
        lm: Folder of a language model to start from; None: a fresh one of the configuration's
            sizes, which speaks the bundle's tokens.
        out: The run's folder is made in here; token ids are kept in its ``cache``.
        report: Called with the step and its figures after every step.
        stop_after: Save a checkpoint and return after this many steps, as an interruption would.

    Returns:
        The run's folder: ``model/``, ``metrics.jsonl``, ``samples.txt``, ``curves.png``,
        ``run.json`` and ``checkpoint/``.

    Raises:
        ConfigError: the configuration does not fit the language model or the number of processes.
    """
    torch.set_num_threads(config.threads)
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=not torch.cuda.is_available(),
        # A step without memories leaves the parts that read them at rest.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    folder = Path(out) / config.name
    if accelerator.is_main_process:
        claim_run(folder, config)
    accelerator.wait_for_everyone()
    bundle = load_bundle(config.bundle)
    bundle.autoencoder.to(accelerator.device)
    torch.manual_seed(config.seed)
    parts = _start(config, bundle, lm)
    bare = parts.model
    with accelerator.main_process_first():
        train, dev = _exercises(config, parts, bundle, Path(corpus), Path(out) / "cache")
    learning = [p for p in bare.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.ndim >= 2]},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        groups,
        lr=config.optimiser.lr,
        betas=config.optimiser.betas,
        eps=config.optimiser.eps,
        weight_decay=config.optimiser.weight_decay,
    )
    model, optimiser = accelerator.prepare(bare, optimiser)
    with accelerator.main_process_first():
        state = load_checkpoint(folder / "checkpoint", bare, optimiser) or {"step": 0}
    if accelerator.is_main_process:
        rewind(folder / "metrics.jsonl", state["step"])
    bare.train()

    last = config.optimiser.steps
    for step in range(state["step"], last):
        began = time.perf_counter()
        stage = config.stage(step)
        if config.reader.route == "positions" and stage.tokens_per_position is not None:
            bare.positions.now = stage.tokens_per_position
        drawn = train.batch(
            step,
            stage.mixture,
            memories=stage.memories,
            memory_tokens=stage.memory_tokens,
            rows=stage.rows,
        )
        whole = sum(len(answer) for answer in drawn.answers)
        share = _share(drawn, accelerator.process_index, accelerator.num_processes)
        density = bundle.densities[step % len(bundle.densities)]
        batch = tensors(share, parts, bundle, density, accelerator.device)
        for group in optimiser.param_groups:
            group["lr"] = config.optimiser.lr * schedule(step / last, config.optimiser)
        with torch.autocast(
            accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"
        ):
            output = model(
                batch.input_ids, batch.attention_mask, memory=batch.memory, labels=batch.labels
            )
        told = batch.labels[:, 1:] != IGNORED
        weight = told.sum() * accelerator.num_processes / whole
        accelerator.backward(output.loss * weight)
        accelerator.clip_grad_norm_(learning, config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        right = (output.logits[:, :-1].argmax(-1) == batch.labels[:, 1:]) & told
        sums = torch.stack([output.loss.detach() * told.sum(), right.sum(), told.sum()])
        loss, correct, count = accelerator.reduce(sums.float()).tolist()
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss / count,
            "accuracy": correct / count,
            "lr": optimiser.param_groups[0]["lr"],
            "exercise": drawn.exercise,
            "tokens_per_s": count / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = {
                    name: _evaluate(bare, batches, parts, bundle, config.precision)
                    for name, batches in dev.items()
                }
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
                with (folder / "samples.txt").open("a") as log:
                    log.write(f"--- step {done}\n{_samples(dev, parts, bundle)}\n")
                plot_curves(folder / "metrics.jsonl", folder / "curves.png")
            if done % config.save_every == 0 or done == last or stopping:
                save_checkpoint(folder / "checkpoint", bare, optimiser, {"step": done})
            report(done, figures)
        if stopping:
            break
    else:
        if accelerator.is_main_process:
            save_reader(parts, folder / "model")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return folder


def tensors(
    batch: ReadingBatch,
    parts: ReaderParts,
    bundle: ModelBundle,
    density: str,
    device: torch.device,
) -> ReadingTensors:
    """Prompts with their answers, padded on the right, and memories as a store would keep them."""
    rows = [[*p, *a] for p, a in zip(batch.prompts, batch.answers, strict=True)]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), parts.words.pad)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for at, (row, prompt) in enumerate(zip(rows, batch.prompts, strict=True)):
        ids[at, : len(row)] = torch.tensor(row)
        labels[at, len(prompt) : len(row)] = ids[at, len(prompt) : len(row)]
        mask[at, : len(row)] = 1
    return ReadingTensors(
        ids.to(device), mask.to(device), labels.to(device), _slots(batch, bundle, density, device)
    )


def _slots(
    batch: ReadingBatch, bundle: ModelBundle, density: str, device: torch.device
) -> Slots | None:
    if not batch.memories:
        return None
    count = max(map(len, batch.memories))
    longest = max(len(memory) for group in batch.memories for memory in group)
    ids = torch.full((len(batch.memories), count, longest), PAD)
    lengths = torch.zeros(len(batch.memories), count, dtype=torch.int64)
    for row, group in enumerate(batch.memories):
        for place, memory in enumerate(group):
            ids[row, place, : len(memory)] = torch.from_numpy(memory)
            lengths[row, place] = len(memory)
    ids, lengths = ids.to(device), lengths.to(device)
    return Slots(bundle.quantised(ids, lengths, density), lengths)


def _start(config: ReaderRunConfig, bundle: ModelBundle, lm: str | None) -> ReaderParts:
    """The language model and the fresh parts around it."""
    if lm is None:
        sizes = {
            "vocab_size": bundle.tokenizer.vocab_size,
            "pad_token_id": PAD,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "tie_word_embeddings": True,
        }
        try:
            network: Any = LlamaForCausalLM(LlamaConfig(**{**sizes, **config.lm}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"lm: {error}") from error
        tokenizer = None
    else:
        network = AutoModelForCausalLM.from_pretrained(local_model(lm), dtype=torch.float32)
        own = network.get_input_embeddings().weight.shape[0] == bundle.tokenizer.vocab_size
        tokenizer = None if own else AutoTokenizer.from_pretrained(lm)
    lora = None
    if config.lora is not None:
        lora = {
            "r": config.lora.rank,
            "lora_alpha": config.lora.alpha,
            "target_modules": config.lora.targets,
        }
    parts = new_reader(
        network,
        bundle,
        config.reader,
        tokenizer=tokenizer,
        lora=lora,
        name=lm,
    )
    if not config.train_lm and config.lora is None:
        parts.model.lm.requires_grad_(False)
    return parts


def _exercises(
    config: ReaderRunConfig, parts: ReaderParts, bundle: ModelBundle, corpus: Path, cache: Path
) -> tuple[Exercises, dict[str, list[ReadingBatch]]]:
    tokenizer = bundle.folder / "tokenizer"

    def exercises(
        files: Sequence[str], shares: Sequence[float], questions: list[str], random: float
    ) -> Exercises:
        return Exercises(
            [pack(corpus / file, tokenizer, cache) for file in files],
            shares,
            read_questions(
                [corpus / file for file in questions],
                bundle.tokenizer,
                max_context=config.max_context,
            ),
            parts.words,
            seed=config.seed,
            random_share=random,
            vocab_size=bundle.tokenizer.vocab_size,
        )

    train = exercises(
        list(config.texts), list(config.texts.values()), config.questions, config.random_share
    )
    dev = exercises(config.dev_texts, [1.0] * len(config.dev_texts), config.dev_questions, 0.0)
    longest = max(stage.memory_tokens[1] for stage in config.stages)
    asked: dict[str, tuple[Exercise, int]] = {
        "regenerate of 1": ("regenerate", 1),
        "regenerate of 16": ("regenerate", 16),
        "lookup of 8": ("lookup", 8),
        "follow": ("follow", 2),
    }
    if config.dev_questions:
        asked["answer of 2"] = ("answer", 2)
    most = config.reader.max_memories
    return train, {
        name: [
            dev.batch(
                _EVAL_STEP + index,
                {exercise: 1.0},
                memories=[count],
                memory_tokens=(longest // 2, longest),
                rows=16,
            )
            for index in range(_EVAL_BATCHES)
        ]
        for name, (exercise, count) in asked.items()
        if count <= most
    }


def _share(batch: ReadingBatch, process: int, processes: int) -> ReadingBatch:
    """One process's part of a batch: some of its groups, or some rows of each.

    Raises:
        ConfigError: neither can be divided evenly.
    """
    if processes == 1:
        return batch
    rows, groups = len(batch.prompts), len(batch.memories)
    if groups:
        each = rows // groups
        if groups % processes == 0:
            chosen = [g * each + r for g in range(process, groups, processes) for r in range(each)]
            memories = batch.memories[process::processes]
        elif each % processes == 0:
            chosen = [g * each + r for g in range(groups) for r in range(process, each, processes)]
            memories = batch.memories
        else:
            raise ConfigError(
                f"a batch of {groups} groups of {each} rows cannot be shared by {processes} "
                f"processes: choose rows and memories that are multiples of it"
            )
    elif rows % processes == 0:
        chosen, memories = list(range(process, rows, processes)), []
    else:
        raise ConfigError(f"a batch of {rows} rows cannot be shared by {processes} processes")
    return ReadingBatch(
        batch.exercise,
        memories,
        [batch.prompts[row] for row in chosen],
        [batch.answers[row] for row in chosen],
    )


@torch.no_grad()
def _evaluate(
    model: ReadingModel,
    batches: Sequence[ReadingBatch],
    parts: ReaderParts,
    bundle: ModelBundle,
    precision: str,
) -> float:
    """Share of answer tokens that come next by the model; teacher-forced, a sign of progress."""
    model.train(False)
    device = next(model.parameters()).device
    right = count = 0
    for drawn in batches:
        batch = tensors(drawn, parts, bundle, bundle.densities[-1], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(batch.input_ids, batch.attention_mask, memory=batch.memory).logits
        told = batch.labels[:, 1:] != IGNORED
        right += int(((logits[:, :-1].argmax(-1) == batch.labels[:, 1:]) & told).sum())
        count += int(told.sum())
    model.train()
    return right / count


@torch.no_grad()
def _samples(dev: dict[str, list[ReadingBatch]], parts: ReaderParts, bundle: ModelBundle) -> str:
    """What the reader writes by itself, one example of each exercise."""
    model, words = parts.model, parts.words
    model.train(False)
    device = next(model.parameters()).device
    lines = []
    for name, batches in dev.items():
        first = batches[0]
        one = ReadingBatch(first.exercise, first.memories[:1], first.prompts[:1], first.answers[:1])
        batch = tensors(one, parts, bundle, bundle.densities[-1], device)
        prompt = torch.tensor([one.prompts[0]], device=device)
        made = model.generate(
            prompt,
            torch.ones_like(prompt),
            model.prepare(batch.memory),
            max_new_tokens=_SAMPLE_TOKENS,
            do_sample=False,
            eos_token_id=words.end,
            pad_token_id=words.pad,
        )
        wanted = answer_text(words, one.answers[0][:_SAMPLE_TOKENS])
        lines.append(
            f"{name}: {words.decode(one.prompts[0])!r}\n  wanted {wanted!r}\n"
            f"  read   {answer_text(words, made[0].tolist())!r}"
        )
    model.train()
    return "\n".join(lines)
