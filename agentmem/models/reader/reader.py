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
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.fingerprint import states_fingerprint
from agentmem.models.reader.kept import KeptStates, StatesShelf
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.packing import pack_states, unpack_states
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.saving import load_config, load_weights
from agentmem.models.reader.states import append_memories, check_rotary, encode_memories

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
        self, model: ReadingModel, tokenizer: Any, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """Wrap a model and its tokenizer.

        Args:
            model: The model with its adapter's weights loaded.
            tokenizer: The language model's, with its chat template.
            cache_bytes: The most that is kept in this process of the states of memories, for those
                that no shelf keeps.

        Raises:
            ModelError: the tokenizer has no chat template, or the model no rotary positions.
        """
        self.model = model.train(False)
        self.prompt = ReadingPrompt.of(tokenizer, model.config.system_prompt)
        check_rotary(model.lm)
        self._kept = KeptStates(cache_bytes)
        self._prefix: DynamicCache | None = None

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, language_model: str | Path, *, cache_bytes: int = CACHE_BYTES
    ) -> StatesReader:
        """Load a language model from its folder, with a reader's adapter.

        Raises:
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
            raise ModelError(
                f"no causal language model in {str(language_model)!r}: {error}"
            ) from error
        model = ReadingModel(lm, config)
        load_weights(model, folder)
        if torch.cuda.is_available():
            model = model.to("cuda")
        return cls(model, tokenizer, cache_bytes=cache_bytes)

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
        return states_fingerprint(self.model.lm, self.prompt.prefix)

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
        shelf: StatesShelf | None = None,
    ) -> Reading:
        """Answer a question from memories.

        Args:
            question: In plain words.
            lines: The memories as lines of text, see `agentmem.models.reader.prompt.memory_line`.
            mode: ``"text"`` reads the memories one after the other, as text; ``"states"`` puts
                their states into the cache, without a forward pass for those already computed.
            max_tokens: Maximum length of the answer, in tokens of the language model.
            on_text: Called with each piece of the answer as it is generated; the pieces add up to
                the returned text, so there are none if it is None.
            shelf: Where states are kept between answers, of these memories in this order; what it
                does not keep is kept in this process.

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
        cache, start = self._read_memories(memories, mode, shelf)
        again = deepcopy(cache)
        ids, absent = self._write(request, cache, start, max_tokens, on_text)
        if ids is None:
            return Reading(None, absent, (0.0,) * len(lines))
        text = self._decode(ids).strip()
        shares = self._shares(request, ids, memories, again, start)
        found = bool(text) and not text.lower().startswith(_NOTHING)
        return Reading(text if found else None, 1 - absent if found else absent, shares)

    def _read_memories(
        self, memories: Sequence[list[int]], mode: Mode, shelf: StatesShelf | None
    ) -> tuple[DynamicCache, int]:
        """A cache that holds prefix and memories, and the position after them."""
        cache = self._prefix_cache()
        start = len(self.prompt.prefix)
        if mode == "states":
            states = [unpack_states(packed) for packed in self._packed(memories, shelf)]
            return cache, append_memories(self.model.lm, cache, states, start)
        text = [token for memory in memories for token in memory]
        if text:
            self._forward(text, cache, start)
        return cache, start + len(text)

    @torch.no_grad()
    def _forward(self, ids: Sequence[int], cache: DynamicCache, start: int) -> Any:
        device = self.model.lm.get_input_embeddings().weight.device
        with self.model.gates.set(text=torch.ones(1, 1, 1, device=device)):
            return self.model.lm.model(
                input_ids=torch.tensor([list(ids)], device=device),
                position_ids=torch.arange(start, start + len(ids), device=device)[None],
                past_key_values=cache,
                use_cache=True,
            )

    def _prefix_cache(self) -> DynamicCache:
        """A copy of the cache of the prompt's prefix, which is computed once."""
        if self._prefix is None:
            self._prefix = DynamicCache()
            self._forward(self.prompt.prefix, self._prefix, 0)
        return deepcopy(self._prefix)

    def _packed(self, memories: Sequence[Sequence[int]], shelf: StatesShelf | None) -> list[bytes]:
        """Packed states of memories: those that are kept, and those that had to be made now.

        Also those are packed that were made now: an answer does not depend on what was kept.
        """
        digests = [_digest(memory) for memory in memories]
        shelved = {} if shelf is None else shelf.find(self.fingerprint, digests)
        # By digest: what two memories have in common is made once.
        found = {digests[position]: packed for position, packed in shelved.items()}
        for digest in digests:
            if digest not in found and (own := self._kept.find(digest)) is not None:
                found[digest] = own
        missing = {d: m for d, m in zip(digests, memories, strict=True) if d not in found}
        found |= zip(missing, self._made(list(missing.values())), strict=True)
        packed = [found[digest] for digest in digests]
        new = {n: (digests[n], packed[n]) for n in range(len(packed)) if n not in shelved}
        kept = shelf.keep(self.fingerprint, new) if shelf is not None and new else ()
        for position, (digest, states) in new.items():
            if position not in kept:
                self._kept.keep(digest, states)
        return packed

    def _made(self, memories: Sequence[Sequence[int]]) -> list[bytes]:
        device = self.model.lm.get_input_embeddings().weight.device
        with self.model.gates.set(text=torch.ones(1, 1, 1, device=device)):
            made = encode_memories(self.model.lm, memories, prefix=self.prompt.prefix)
        return [pack_states(states) for states in made]

    @torch.no_grad()
    def _write(
        self,
        request: list[int],
        cache: DynamicCache,
        start: int,
        most: int,
        on_text: Callable[[str], None] | None,
    ) -> tuple[list[int] | None, float]:
        """Greedy tokens of the answer, None if withheld; and the probability that there is none."""
        written: list[int] = []
        absent: float | None = None
        stream = _Stream(on_text)
        feed, at = request, start
        while True:
            hidden: Tensor = self._forward(feed, cache, at).last_hidden_state[:, -1]
            probabilities = self.model.logits(hidden).softmax(-1)[0]
            token = int(probabilities.argmax())
            if absent is None:
                absent = float(probabilities[self.prompt.ids(NOT_IN_MEMORY)[0]])
                if self.model.config.withholds(absent, float(probabilities[token])):
                    return None, absent
            if token == self.prompt.end or len(written) >= most:
                stream.end(self._decode(written))
                return written, absent
            at += len(feed)
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
        cache: DynamicCache,
        start: int,
    ) -> tuple[float, ...]:
        """The share of each memory in the answer.

        Counts the attention from the position that predicted each token of the answer to positions
        in the memories that hold the same token, which is how copying shows. If the answer copies
        nothing, all attention to memories counts.
        """
        if not memories:
            return ()
        prefix = len(self.prompt.prefix)
        parts: list[Tensor] = []

        def watch(module: Any, inputs: Any, output: Any) -> None:
            # Rows: the positions that predicted each token of the answer; columns: memory tokens.
            # Sliced here: the full maps of all layers would take hundreds of megabytes.
            parts.append(output[1][0, :, len(request) - 1 :, prefix:start].float().mean(0).cpu())

        lm = self.model.lm
        watching = [layer.self_attn.register_forward_hook(watch) for layer in lm.model.layers]
        usual = lm.config._attn_implementation
        # The other implementations do not return attention weights.
        lm.set_attn_implementation("eager")
        try:
            self._forward(request + answer, cache, start)
        finally:
            lm.set_attn_implementation(usual)
            for hook in watching:
                hook.remove()
        rows = torch.stack(parts).mean(0)
        held = torch.tensor([token for memory in memories for token in memory])
        answer_ids = torch.tensor([*answer, self.prompt.end])
        copied = rows * (answer_ids[:, None] == held[None, :])
        weight = copied if float(copied.sum()) > 0 else rows
        sizes = [len(memory) for memory in memories]
        mass = [float(part.sum()) for part in torch.split(weight, sizes, dim=1)]
        whole = sum(mass) or 1.0
        return tuple(share / whole for share in mass)


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
