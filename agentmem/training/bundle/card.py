"""The model card of a bundle, written from what the bundle says of itself.

Where the corpus came from stands in ``sources.tsv`` beside this file: the part of the corpus, the
source, the public repository it was taken from, and the license that the repository states.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentmem.models.bundle.inspect import BundleFacts
from agentmem.models.bundle.manifest import EMBEDDER, READER, RERANKER
from agentmem.models.embedder.sentence_encoder import SentenceEncoderConfig
from agentmem.models.reader.saving import load_config

# Prefixes of the corpus files of each part.
_PARTS = {
    "train-conversations": "conversations",
    "train-documents": "documents",
    "train-structured": "structured",
    "qa-train": "qa",
}
_HEADINGS = {
    "conversations": "Conversations",
    "documents": "Documents",
    "structured": "Structured text",
    "qa": "Questions and their contexts",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A source of the corpus: its part, its repository and its license."""

    kind: str
    name: str
    origin: str
    license: str


def read_sources() -> list[Source]:
    """Every source of the corpus that training may use."""
    with Path(__file__).with_name("sources.tsv").open(encoding="utf-8", newline="") as file:
        return [
            Source(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def write_card(folder: Path, facts: BundleFacts, training: Mapping[str, Any]) -> None:
    """Write README.md of a bundle.

    Args:
        folder: The bundle's folder.
        facts: Facts about the bundle.
        training: Configuration of each network's training run.
    """
    blocks = [
        *_made_of(facts),
        *_encoder(folder),
        *_reader(folder, facts),
        *_trained_on(training),
        *_trained_how(training),
        *_measured(facts.evaluation),
        *_LIMITS,
    ]
    (folder / "README.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8", newline="\n")


def _made_of(facts: BundleFacts) -> list[str]:
    steps = ", ".join(f"`{name}` {step:g}" for name, step in facts.quantizations.items())
    what = {
        "tokenizer": f"byte-level BPE, {facts.vocab_size:,} entries: every Unicode text, exactly",
        "autoencoder": f"{facts.slot_dims} numbers per token, {facts.tokens_per_vector} tokens per "
        f"vector, {facts.max_tokens} tokens per chunk at most; quantization steps of 127: {steps}",
        "keys": "the embedder for vector search",
    }
    if has_encoder := any(file.path.startswith(f"{EMBEDDER}/") for file in facts.files):
        what["keys"] = 'the tiny embedder for vector search: `embedder="tiny"`'
        what[EMBEDDER] = f"the default embedder for vector search; K = {facts.embedding_dims}"
    if RERANKER in facts.parameters:
        what[RERANKER] = "ranks the best candidates of a search, from their latents"
    if READER in facts.parameters:
        what[READER] = "adapter of a language model, which is not part of the bundle"
    bytes_of = {
        part: sum(file.bytes for file in facts.files if file.path.startswith(f"{part}/"))
        for part in what
    }
    rows = [
        (
            f"`{part}/`",
            text,
            f"{facts.parameters.get(part, 0):,}" if part in facts.parameters else "",
            f"{bytes_of[part] / 1e6:.1f} MB",
        )
        for part, text in what.items()
    ]
    unpinned = [part for part in (RERANKER, READER) if part in facts.parameters]
    return [
        f"# {facts.name}: a model bundle of agentmem",
        _table(("part", "what it is", "parameters", "size"), rows),
        f"Fingerprint `{facts.fingerprint}`, format {facts.format}. Weights are bfloat16 "
        "safetensors"
        + (
            ", those of the default embedder 4 and 7 bits wide in an ONNX graph"
            if has_encoder
            else ""
        )
        + (", those of the reader 8 bits wide" if READER in facts.parameters else "")
        + "; what is stored is verified by the decoder in float32. `manifest.json` holds "
        "the SHA-256 of each file, and a store is pinned to their fingerprint"
        + (f", which no file of the {' or the '.join(unpinned)} is part of" if unpinned else "")
        + "; `agentmem model verify` checks the files, and that text comes back. License of the "
        "weights: Apache-2.0.",
    ]


def _encoder(folder: Path) -> list[str]:
    if not (folder / EMBEDDER).is_dir():
        return []
    config = SentenceEncoderConfig.from_folder(folder / EMBEDDER)
    return [
        "## The default embedder",
        f"`{config.name}`, a pretrained sentence encoder (Apache-2.0, Wang et al., "
        "arXiv 2002.10957, and the sentence-transformers project), exported with `agentmem train "
        "encoder`: token embeddings in 4 bits, the matrices of its layers in 7. Its first "
        f"{config.max_tokens} tokens of a text count. It was not trained here, nor on the corpus. "
        "Nothing but search depends on it: texts come back from the latents.",
    ]


def _reader(folder: Path, facts: BundleFacts) -> list[str]:
    if READER not in facts.parameters:
        return []
    config = load_config(folder / READER)
    return [
        "## The reader's adapter",
        f"Low-rank matrices (LoRA, rank {config.rank}) beside the linear layers of "
        f"`{config.language_model}`, which stays as it is, keeps its own license, and is installed "
        "with `agentmem reader install`. They teach it to answer from notes in a few words, and to "
        'say "Not in memory" where the notes hold no answer, read as text or as states that were '
        "made of each note alone. The shipped one was trained on questions over contexts, on "
        "conversation turns to be repeated, on made-up lists of personal memories, and on 317 "
        "notebooks and chats, with questions, that a larger language model wrote for this "
        "(`reader-notebooks.jsonl.zst`), by the recipes `reader-gpu.toml`, "
        "`reader-states-gpu.toml` and `reader-notebooks-gpu.toml` of `examples/training`, one "
        "after the other. It "
        "attends to one position for each token of the language model's own tokenizer; it does "
        "not read the memory vectors. An answer is withheld where the model "
        f'gives "Not in memory" a probability of {config.abstain_above:g} or more, or the first '
        f"token of its answer one below {config.certain_from:g}. License of the "
        "adapter: Apache-2.0. Figures and limits: `docs/reader.md`.",
    ]


def _trained_on(training: Mapping[str, Any]) -> list[str]:
    files = {part: _files(run) for part, run in training.items()}
    kinds = {name: _kind(name) for names in files.values() for name in names}
    sources = [source for source in read_sources() if source.kind in kinds.values()]
    unknown = [f"`{name}`" for name, kind in kinds.items() if kind is None]
    blocks = [
        "## What it was trained on",
        "\n".join(
            f"- {part}: {', '.join(f'`{name}`' for name in names)}" for part, names in files.items()
        ),
    ]
    blocks += [
        f"The {part} also learned from what the sentence encoder of `{teacher}` makes of these "
        "texts, in float32; those weights are no part of this bundle."
        for part, run in training.items()
        if (teacher := run.get("teacher"))
    ]
    if unknown:
        blocks.append(f"Sources and licenses are not listed here for {', '.join(unknown)}.")
    if not sources:
        return blocks
    blocks.append(
        "English text from public GitHub repositories, and generated records. The license is the "
        "one that the repository or its authors state; share-alike sources ask for naming the "
        "source and the same license when the text itself is passed on. The text is not part of "
        "this bundle. No source in this list is under a non-commercial license, and none is an "
        "evaluation set: what shares a run of 13 words with one was dropped."
    )
    for kind, heading in _HEADINGS.items():
        rows = [(one.name, one.origin, one.license) for one in sources if one.kind == kind]
        if rows:
            blocks += [f"### {heading}", _table(("source", "taken from", "license"), rows)]
    return blocks


def _kind(file: str) -> str | None:
    """The part of the corpus that a file belongs to."""
    return next((kind for start, kind in _PARTS.items() if file.startswith(start)), None)


def _files(run: Mapping[str, Any]) -> list[str]:
    """Corpus files that a run, and the one it started from, were trained on."""
    if "data" in run:
        return list(run["data"]["train"])
    files = {*run["questions"], *run.get("conversations", [])}
    if "start_run" in run:
        files.update(_files(run["start_run"]))
    return sorted(files)


def _trained_how(training: Mapping[str, Any]) -> list[str]:
    rows = [
        (part, run["name"], f"{run['optimizer']['steps']:,}", str(run["seed"]))
        for part, run in training.items()
    ]
    return [
        "## How it was trained",
        _table(("part", "run", "steps", "seed"), rows),
        "`training.json` holds the configuration of each run, complete; `agentmem train` repeats "
        "it from the corpus.",
    ]


def _measured(evaluation: Mapping[str, Any]) -> list[str]:
    blocks = ["## What was measured"] if evaluation else []
    for name, figures in evaluation.items():
        rows = [(" / ".join(path), _shown(value)) for path, value in _leaves(figures)]
        blocks += [f"### {name}", _table(("figure", "value"), rows)]
    return blocks


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, (*path, name))
    else:
        yield path, value


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(heads)
    # Names may contain the column separator.
    lines = [head, ["---"] * len(head), *([c.replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_LIMITS = (
    "## What it is for, and what it is not",
    "It is the frozen model of a memory for agents: conversation turns and documents become a few "
    "small vectors, are found by embeddings, and come back as text. What the autoencoder does not "
    "regenerate is corrected by patches that are made, and checked, when a memory is written, so "
    "that stored text is exact in any language.",
    "- **The vectors are the text.** They can be turned back by design, by anyone who has this "
    "bundle. They are neither a hash nor a summary nor encrypted: protect a store as you would "
    "the conversations in it, encrypt the disk or the database it lies on where they are personal, "
    "and delete with `forget`, which leaves no byte behind.\n"
    "- **English.** It was trained on English text. Other languages and scripts take more tokens "
    "and more patch bytes, stay exact, and are found worse.\n"
    "- Some of the training text was posted by people under the names they used there, and some "
    "was written by language models.\n"
    "- The embedder is small: its vector search is weaker than that of large retrieval encoders.",
)
