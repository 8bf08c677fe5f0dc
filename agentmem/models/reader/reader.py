"""A language model that answers from memories, given as text or as cached states."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.errors import InputError, ModelError
from agentmem.models.huggingface import load_causal_lm, load_tokenizer, local_folder, quiet
from agentmem.models.reader.compressed import (
    HeldKeys,
    append_compressed,
    encode_compressed,
    select,
)
from agentmem.models.reader.compressed_packing import pack_compressed, unpack_compressed
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.fingerprint import states_fingerprint
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.packing import pack_states, unpack_states
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.question_weights import Weights, question_weights
from agentmem.models.reader.saving import load_config, load_weights
from agentmem.models.reader.selection import KEPT_RATIO
from agentmem.models.reader.shares import AnswerShares
from agentmem.models.reader.states import append_memories, check_rotary, encode_memories
from agentmem.models.reader.states_cache import KeptStates, StatesCache
from agentmem.models.reader.weights import Watch
from agentmem_storage.interruptions import is_interruption

Mode = Literal["text", "states"]

# Default size of the cache of memories' states in this process: some 11,000 tokens for a model with
# 30 layers of 3 x 64 dims.
CACHE_BYTES = 128 * 2**20
# The beginning of an answer that states that there is none.
_NOTHING = NOT_IN_MEMORY.lower().rstrip(".")


@dataclass(frozen=True, slots=True)
class Reading:
    """The output of a reader.

    Attributes:
        text: The answer; None if the memories do not contain one.
        confidence: Probability, 0 to 1, that the memories contain an answer, or, if ``text`` is
            None, that they do not; taken from the distribution of the first token.
        shares: For each memory, its share of the answer's attention to memories. They sum to 1, or
            are all 0 if the answer was withheld, or could not attend to any memory because of a
            sliding window.
    """

    text: str | None
    confidence: float
    shares: tuple[float, ...]


class StatesReader:
    """A frozen language model with a trained adapter that reads memories, as text or as states.

    Not thread-safe.
    """

    def __init__(
        self,
        model: ReadingModel,
        tokenizer: Any,
        *,
        ratio: int = 1,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Wrap a model and its tokenizer.

        Args:
            model: The model with its adapter's weights loaded.
            tokenizer: The language model's, with its chat template.
            ratio: Tokens per state that is read of a memory; 1 reads all. Above `KEPT_RATIO`, which
                is what is kept then, the question chooses.
            cache_bytes: The most that is kept in this process of the states of memories, for those
                that no store keeps.

        Raises:
            InputError: the ratio is below 1.
            ModelError: the tokenizer has no chat template, or the model no rotary positions; or the
                question chooses, and the tokenizer does not tell where tokens begin in a text.
        """
        if ratio < 1:
            raise InputError(f"ratio={ratio!r}: 1 keeps the states of all tokens, 4 a quarter")
        if ratio > KEPT_RATIO and not tokenizer.is_fast:
            raise ModelError(
                f"ratio={ratio!r}: {type(tokenizer).__name__} does not tell where its tokens begin "
                f"in a text, which a ratio above {KEPT_RATIO} needs: use {KEPT_RATIO} or less, or "
                f"a model with a tokenizer.json"
            )
        self.ratio = ratio
        self._kept_ratio = min(ratio, KEPT_RATIO)
        self.model = model.train(False)
        self.prompt = ReadingPrompt.of(tokenizer, model.config.system_prompt)
        check_rotary(model.lm)
        self._kept = KeptStates(cache_bytes)
        self._prefix: _Context | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        language_model: str | Path,
        *,
        ratio: int = 1,
        cache_bytes: int = CACHE_BYTES,
    ) -> StatesReader:
        """Load a language model from its folder, with a reader's adapter.

        Args:
            folder: Of the reader.
            language_model: Folder of the language model, or its Hub id.
            ratio: As in the constructor.
            cache_bytes: Likewise.

        Raises:
            InputError: the ratio is below 1.
            ModelNotFoundError: there is no adapter in ``folder``.
            ModelError: the adapter is damaged or made for another language model; or what is in
                ``language_model`` is no causal language model with a chat template.
        """
        config = load_config(folder)
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        try:
            place = local_folder(language_model)
            with quiet():
                lm = load_causal_lm(place, dtype)
                tokenizer = load_tokenizer(place)
        except ModelError:
            raise
        except Exception as error:  # transformers raises classes of its own
            if is_interruption(error):
                raise
            raise ModelError(
                f"no causal language model in {str(language_model)!r}: {error}"
            ) from error
        model = ReadingModel(lm, config)
        load_weights(model, folder)
        if torch.cuda.is_available():
            model = model.to("cuda")
        return cls(model, tokenizer, ratio=ratio, cache_bytes=cache_bytes)

    @property
    def positions(self) -> int:
        """The longest context of the language model, in positions."""
        longest: int = self.model.lm.config.max_position_embeddings
        return longest

    @property
    def kept_bytes(self) -> int:
        """Size of the states of memories that are kept in this process, in bytes."""
        return self._kept.stored_bytes

    def drop_states(self) -> None:
        """Drop the states that are kept in this process; they are made again when needed."""
        self._kept.clear()

    @cached_property
    def fingerprint(self) -> str:
        """Identifies what makes the states of this reader, see `states_fingerprint`."""
        return states_fingerprint(self.model.lm, self.prompt.prefix, self._kept_ratio)

    def digest(self, line: str) -> bytes:
        """A digest of all of a memory that its states depend on, 32 bytes."""
        return _digest(self.prompt.memory(line))

    def make_states(self, lines: Sequence[str]) -> list[bytes]:
        """The packed states of memories, made now, in one pass over all of them."""
        return self._made([self.prompt.memory(line) for line in lines])

    def count_tokens(self, line: str) -> int:
        """The positions that a memory takes."""
        return len(self.prompt.memory(line))

    def room(self, question: str, *, max_tokens: int = 48) -> int:
        """The positions left for memories next to a question and its answer."""
        taken = len(self.prompt.prefix) + len(self.prompt.question(question)) + max_tokens
        return self.positions - taken

    def read(
        self,
        question: str,
        lines: Sequence[str],
        *,
        mode: Mode = "text",
        max_tokens: int = 48,
        on_text: Callable[[str], None] | None = None,
        cache: StatesCache | None = None,
        ranks: Sequence[int] | None = None,
    ) -> Reading:
        """Answer a question from memories.

        Args:
            question: In plain words.
            lines: The memories as lines of text, see `agentmem.models.reader.prompt.memory_line`.
            mode: ``"text"`` reads the memories one after the other, as text; ``"states"`` puts
                their states into the context, without a forward pass for those already computed.
            max_tokens: Maximum length of the answer, in tokens of the language model.
            on_text: Called with each piece of the answer as it is generated; the pieces add up to
                the returned text, so there are none if it is None.
            cache: Where states are kept between answers, of these memories in this order; what it
                does not keep is kept in this process.
            ranks: Of each memory in the recall, 0 is the best: of better ones more is read, where
                the question chooses. None: all are alike.

        Raises:
            InputError: memories, question and answer do not fit the language model's context;
                ``max_tokens`` is below 1, or the mode is unknown.
        """
        if mode not in get_args(Mode):
            raise InputError(f"unknown mode {mode!r}: 'text' or 'states'")
        if max_tokens < 1:
            raise InputError(f"max_tokens={max_tokens!r}: an answer takes 1 or more")
        memories = [self.prompt.memory(line) for line in lines]
        request = self.prompt.question(question)
        need = len(self.prompt.prefix) + sum(map(len, memories)) + len(request) + max_tokens
        if need > self.positions:
            raise InputError(
                f"{len(lines)} memories, the question and its answer take {need} positions, the "
                f"language model has {self.positions}: read fewer memories"
            )
        if mode == "text":
            context = self._read_text(memories)
        elif self.ratio == self._kept_ratio:
            context = self._read_states(memories, cache)
        else:
            starts = [self.prompt.starts(line) for line in lines]
            weights = question_weights(question, lines, starts, ranks or [0] * len(lines))
            context = self._read_states(memories, cache, weights)
        again = context.copy()
        ids, absent = self._write(request, context, max_tokens, on_text)
        if ids is None:
            return Reading(None, absent, (0.0,) * len(lines))
        text = self._decode(ids).strip()
        shares = self._shares(request, ids, memories, again)
        found = bool(text) and not text.lower().startswith(_NOTHING)
        return Reading(text if found else None, 1 - absent if found else absent, shares)

    def _begin(self) -> _Context:
        """What has been read before the memories: the prefix."""
        if self._prefix is None:
            self._prefix = _Context(DynamicCache(), 0)
            self._forward(self.prompt.prefix, self._prefix)
        return self._prefix.copy()

    def _read_text(self, memories: Sequence[list[int]]) -> _Context:
        context = self._begin()
        if text := [token for memory in memories for token in memory]:
            self._forward(text, context)
        return context

    def _read_states(
        self,
        memories: Sequence[list[int]],
        cache: StatesCache | None,
        weights: Sequence[Weights] | None = None,
    ) -> _Context:
        """Put the states of memories into a context.

        Args:
            memories: Their token ids.
            cache: As in `read`.
            weights: What each token counts for the question; None: all that is kept is read.
        """
        context = self._begin()
        packed, lm, start = self._packed(memories, cache), self.model.lm, context.end
        if self.ratio == 1:
            whole = [unpack_states(one) for one in packed]
            context.end = append_memories(lm, context.cache, whole, start)
            return context
        parts = [unpack_compressed(one) for one in packed]
        if weights is not None:
            parts = select(parts, [torch.from_numpy(one) for one in weights], self.ratio)
        context.held = append_compressed(lm, context.cache, parts, start)
        context.end = context.held.end
        return context

    @torch.no_grad()
    def _forward(self, ids: Sequence[int], context: _Context, watch: Watch | None = None) -> Tensor:
        """Read on; the states of the last layer, normalized, (1, T, H)."""
        device = self.model.lm.get_input_embeddings().weight.device
        end = context.end + len(ids)
        with self.model.gates.set(text=torch.ones(1, 1, 1, device=device)):
            output = self.model.lm.model(
                input_ids=torch.tensor([list(ids)], device=device),
                position_ids=torch.arange(context.end, end, device=device)[None],
                past_key_values=context.cache,
                use_cache=True,
                held=context.held,
                watch=watch,
            )
        context.end = end
        states: Tensor = output.last_hidden_state
        return states

    def _packed(self, memories: Sequence[Sequence[int]], cache: StatesCache | None) -> list[bytes]:
        """Packed states of memories: those that are kept, and those that had to be made now.

        Also those are packed that were made now: an answer does not depend on what was kept.
        """
        digests = [_digest(memory) for memory in memories]
        cached = {} if cache is None else cache.find(self.fingerprint, digests)
        # By digest: what two memories have in common is made once.
        found = {digests[position]: packed for position, packed in cached.items()}
        for digest in digests:
            if digest not in found and (own := self._kept.find(digest)) is not None:
                found[digest] = own
        missing = {d: m for d, m in zip(digests, memories, strict=True) if d not in found}
        found |= zip(missing, self._made(list(missing.values())), strict=True)
        packed = [found[digest] for digest in digests]
        new = {n: (digests[n], packed[n]) for n in range(len(packed)) if n not in cached}
        kept = cache.keep(self.fingerprint, new) if cache is not None and new else ()
        for position, (digest, states) in new.items():
            if position not in kept:
                self._kept.keep(digest, states)
        return packed

    def _made(self, memories: Sequence[Sequence[int]]) -> list[bytes]:
        device = self.model.lm.get_input_embeddings().weight.device
        lm, prefix = self.model.lm, self.prompt.prefix
        with self.model.gates.set(text=torch.ones(1, 1, 1, device=device)):
            if self.ratio == 1:
                whole = encode_memories(lm, memories, prefix=prefix)
                return [pack_states(states) for states in whole]
            parts = encode_compressed(lm, memories, prefix=prefix, ratio=self._kept_ratio)
        return [pack_compressed(states) for states in parts]

    @torch.no_grad()
    def _write(
        self,
        request: list[int],
        context: _Context,
        most: int,
        on_text: Callable[[str], None] | None,
    ) -> tuple[list[int] | None, float]:
        """Greedy tokens of the answer, None if withheld; and the probability that there is none."""
        written: list[int] = []
        absent: float | None = None
        stream = _Stream(on_text)
        feed = request
        while True:
            hidden = self._forward(feed, context)[:, -1]
            probabilities = self.model.logits(hidden).softmax(-1)[0]
            token = int(probabilities.argmax())
            if absent is None:
                absent = float(probabilities[self.prompt.ids(NOT_IN_MEMORY)[0]])
                if self.model.config.withholds(absent, float(probabilities[token])):
                    return None, absent
            if token == self.prompt.end or len(written) >= most:
                stream.end(self._decode(written))
                return written, absent
            feed = [token]
            written.append(token)
            if on_text is not None:
                stream.show(self._decode(written))

    def _decode(self, ids: list[int]) -> str:
        # No clean-up: it could change streamed text, such as a space before a comma.
        text: str = self.prompt.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _shares(
        self,
        request: list[int],
        answer: list[int],
        memories: Sequence[list[int]],
        context: _Context,
    ) -> tuple[float, ...]:
        """The share of each memory in the answer, see `AnswerShares`."""
        if not memories:
            return ()
        shares = AnswerShares(
            [*answer, self.prompt.end], memories, len(self.prompt.prefix), context.held
        )
        self._forward(request + answer, context, shares.watch)
        return shares.found()


@dataclass(slots=True)
class _Context:
    """What has been read so far.

    Attributes:
        cache: Its keys and values.
        end: The position behind it.
        held: Where the keys of compressed memories stand, if there are any.
    """

    cache: DynamicCache
    end: int
    held: HeldKeys | None = None

    def copy(self) -> _Context:
        return _Context(deepcopy(self.cache), self.end, self.held)


def _digest(memory: Sequence[int]) -> bytes:
    return sha256(array("q", memory).tobytes()).digest()


class _Stream:
    """Streams a growing text: stripped, in whole characters, and only if it is an answer."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self._shown = 0

    def show(self, text: str) -> None:
        """Take the text so far, and emit the part that can no longer change."""
        # A character may take several tokens; trailing spaces may be stripped at the end.
        final = text.strip().rstrip("\N{REPLACEMENT CHARACTER}").rstrip()
        self._emit(final, whole=False)

    def end(self, text: str) -> None:
        """Take the complete text, and emit the rest."""
        self._emit(text.strip(), whole=True)

    def _emit(self, text: str, *, whole: bool) -> None:
        start = text[: len(_NOTHING)].lower()
        if self._on_text is None or start == _NOTHING or len(text) <= self._shown:
            return
        if whole or not _NOTHING.startswith(start):
            self._on_text(text[self._shown :])
            self._shown = len(text)
