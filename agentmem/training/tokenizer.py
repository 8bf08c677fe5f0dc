"""Trains the byte-level BPE tokenizer of a model bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from agentmem.corpus import read_records, record_texts
from agentmem.models.tokenizer import SPECIAL_TOKENS

# Words with one leading symbol, digits in groups of three (so that numbers share tokens), runs of
# punctuation, line ends by themselves. Combining marks stay with their letters: \p{M}.
_WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)"
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _sample(files: Sequence[Path], every: int) -> Iterator[str]:
    for file in files:
        for number, record in enumerate(read_records(file)):
            if number % every == 0:
                yield from record_texts(record)


def train_tokenizer(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    vocab_size: int = 8192,
    every: int = 4,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Path:
    """Train a byte-level BPE on every ``every``-th record and save it as a tokenizer folder.

    All 256 bytes are in the vocabulary and nothing is normalized, so every Unicode string
    round-trips exactly. The same files and settings give the same tokenizer.

    Args:
        files: Corpus files (``.jsonl`` or ``.jsonl.zst``).
        out: Folder to write, in `PreTrainedTokenizerFast.save_pretrained` layout.
        vocab_size: Number of ids, special tokens included.
        every: Sampling step over records.
        progress: Wraps the iterator of texts, for a progress bar.

    Returns:
        The folder.
    """
    texts = progress(_sample([Path(file) for file in files], every))
    return train_tokenizer_on(texts, out, vocab_size=vocab_size)


def train_tokenizer_on(texts: Iterable[str], out: str | Path, *, vocab_size: int) -> Path:
    """`train_tokenizer` on texts in memory."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        # Longer tokens would be whole lines of boilerplate, learned from repeated licenses.
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    out = Path(out)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[0],
        bos_token=SPECIAL_TOKENS[1],
        eos_token=SPECIAL_TOKENS[2],
        additional_special_tokens=list(SPECIAL_TOKENS[3:]),
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    ).save_pretrained(out)
    return out
