"""A reader as people use it: made around a language model, saved, loaded, and asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel

from agentmem.errors import InputError, ModelError
from agentmem.hub import READER, bundled_part
from agentmem.models.bundle import ModelBundle, load_bundle
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.lm import load_lm, load_tokenizer
from agentmem.models.reader.modeling import Prepared, room_of, token_table
from agentmem.models.reader.padding import pad
from agentmem.models.reader.prompts import (
    answer_text,
    continue_prompt,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.saving import ReaderParts, load_reader, new_reader, save_reader
from agentmem.models.reader.slots import Packed, Readable, as_slots
from agentmem.models.reader.streaming import OnText, Pieces
from agentmem.models.reader.words import Words


class MemoryReader:
    """A causal language model that reads memory vectors in place of their tokens.

    ::

        reader = MemoryReader.from_pretrained()         # the one that comes with the package
        hits = mem.recall("when is my train?", user_id="ana")
        reader.answer("when is my train?", hits)
    """

    def __init__(self, parts: ReaderParts, bundle: ModelBundle) -> None:
        """Take what `from_causal_lm` and `from_pretrained` made."""
        self.parts, self.bundle = parts, bundle
        # The language model reads one group of memories at a time: threads take turns.
        self._turn = threading.RLock()

    @classmethod
    def from_causal_lm(
        cls,
        lm: PreTrainedModel | str | os.PathLike[str],
        bundle: ModelBundle | str | os.PathLike[str] | None = None,
        *,
        config: ReaderConfig | None = None,
        tokenizer: Any | None = None,
        lora: dict[str, Any] | None = None,
    ) -> Self:
        """Put fresh reading parts around a language model; train them before they are of use.

        Args:
            lm: A Hugging Face causal language model, or the folder or name of one that is on this
                machine. One that was made and not loaded has no name: it is saved with the reader,
                as is one that learns in here. What you trained before, save, and give its folder.
            bundle: The model bundle whose memories it shall read; None: the shipped one.
            config: The route and its sizes; None: slot attention.
            tokenizer: The language model's; None: the bundle's if it has as many tokens, or else
                the one beside the language model.
            lora: Arguments of peft's ``LoraConfig``, to adapt the language model too.

        Raises:
            ModelError: language model, tokenizer and bundle do not fit each other.
            ModelNotFoundError: there is no such language model, or no tokenizer beside it, on
                this machine.
            ConfigError: peft does not take ``lora``.
            MissingExtraError: LoRA without peft.
        """
        own = _bundle(bundle)
        if isinstance(lm, PreTrainedModel):
            name = lm.name_or_path or None
        elif isinstance(lm, str | os.PathLike):
            name, lm = os.fspath(lm), load_lm(lm)
        else:
            raise ModelError(
                f"lm is {type(lm).__name__}: give a causal language model of transformers, as "
                f"AutoModelForCausalLM loads it, or its folder or name"
            )
        if tokenizer is None and name and token_table(lm).shape[0] != own.tokenizer.vocab_size:
            tokenizer = load_tokenizer(name)
        parts = new_reader(
            lm, own, config or ReaderConfig(), tokenizer=tokenizer, lora=lora, name=name
        )
        parts.model.train(False)
        return cls(parts, own)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str] | None = None,
        bundle: ModelBundle | str | os.PathLike[str] | None = None,
        *,
        lm: PreTrainedModel | None = None,
        tokenizer: Any | None = None,
    ) -> Self:
        """Load a reader.

        Args:
            folder: Where `save_pretrained` or `agentmem train reader` wrote it; None: the
                bundle's own.
            bundle: The model bundle whose memories it reads; None: the shipped one.
            lm: Its language model, if that is loaded already.
            tokenizer: The language model's tokenizer, if that is loaded already.

        Raises:
            ModelNotFoundError: there is no reader, or its language model is not on this machine.
            ModelError: it belongs to another bundle, language model or tokenizer, or its files
                are damaged.
            MissingExtraError: it has LoRA weights, and peft is not installed.
        """
        own = _bundle(bundle)
        place = bundled_part(own.folder, READER) if folder is None else Path(folder)
        return cls(load_reader(place, own, lm=lm, tokenizer=tokenizer), own)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the reading parts, LoRA weights, and a language model that has no name."""
        return save_reader(self.parts, folder)

    @property
    def words(self) -> Words:
        """The language model's tokens."""
        return self.parts.words

    @property
    def config(self) -> ReaderConfig:
        """The route and its sizes."""
        return self.parts.model.config

    def answer(
        self,
        question: str,
        memories: Sequence[Readable] | Packed,
        *,
        text: str = "",
        max_new_tokens: int = 64,
        on_text: OnText | None = None,
        **arguments: Any,
    ) -> str:
        """Answer a question from memories.

        Args:
            question: In plain words.
            memories: Hits, best in the order they were said; may be none. Or a packed context:
                its text is read before ``text``.
            text: More to read as plain tokens, before the question.
            max_new_tokens: Longest answer, tokens of the language model.
            on_text: Receives the answer piece by piece while it is written.
            **arguments: For the language model's ``generate``; greedy without ``do_sample``.

        Returns:
            The answer; ``"not in memory"`` is one.

        Raises:
            InputError: the question is blank or no valid text, latents are of another bundle,
                there are more memories than the reader or its language model holds, or an
                argument asks for anything but one text.
        """
        _check_asked("question", question)
        _check_unicode("text", text)
        vectors, told = _apart(memories)
        prompt = question_prompt(self.words, question)
        for before in (text, told):
            prompt = self._with_text(before, prompt)
        (made,) = self._generate(
            [prompt], self.prepare([vectors]), max_new_tokens, on_text, arguments
        )
        return answer_text(self.words, made)

    def regenerate(
        self, memories: Sequence[Readable], *, max_new_tokens: int = 300, **arguments: Any
    ) -> list[str]:
        """Write each memory out again by reading it among the others.

        This is what the reader holds of them, not the exact text: for that, ask the hit.

        Raises:
            InputError: as for `answer`.
        """
        if not memories:
            return []
        prompts = [regenerate_prompt(self.words, n) for n in range(1, len(memories) + 1)]
        made = self._generate(prompts, self.prepare([memories]), max_new_tokens, None, arguments)
        return [answer_text(self.words, ids) for ids in made]

    def look_up(
        self,
        cues: Sequence[str],
        memories: Sequence[Readable],
        *,
        max_new_tokens: int = 32,
        **arguments: Any,
    ) -> list[str]:
        """What follows each cue in one of the memories.

        Raises:
            InputError: as for `answer`.
        """
        for cue in cues:
            _check_asked("cue", cue)
        if not cues:
            return []
        prompts = [continue_prompt(self.words, self.words.encode(cue)) for cue in cues]
        made = self._generate(prompts, self.prepare([memories]), max_new_tokens, None, arguments)
        return [answer_text(self.words, ids) for ids in made]

    @torch.no_grad()
    def embeds(
        self, memories: Sequence[Readable] | Packed, *, prompt: str = ""
    ) -> tuple[Tensor, Tensor]:
        """Memories, and what is to be read behind them, as input embeddings of the language model.

        Args:
            memories: Hits, or a packed context: its text comes behind its vectors.
            prompt: What comes last, in plain words; the language model goes on from there.

        Returns:
            Embeddings float (1, P, H), and their mask int64 (1, P), all ones.

        Raises:
            InputError: there is nothing to read, or this reader takes memories by slot attention.
        """
        if self.config.route != "positions":
            raise InputError(
                "this reader takes memories by slot attention, they have no input embeddings: "
                "use reader.answer(), or a reader with ReaderConfig(route='positions')"
            )
        vectors, told = _apart(memories)
        table = token_table(self.parts.model.lm)
        parts = []
        made = self.prepare([vectors])
        if made is not None and made.embeds is not None and made.mask is not None:
            parts.append(made.embeds[:, made.mask[0]].to(table.dtype))
        if told or prompt:
            ids = self._with_text(told, [*self.words.start, *self.words.encode(prompt)])
            # Through the module: some language models scale what their table says.
            words = self.parts.model.lm.get_input_embeddings()
            parts.append(words(torch.tensor([ids], device=table.device)))
        if not parts:
            raise InputError("no memories, no embeddings: recall found nothing")
        embeds = torch.cat(parts, dim=1)
        return embeds, torch.ones(embeds.shape[:2], dtype=torch.int64, device=embeds.device)

    @torch.no_grad()
    def prepare(self, groups: Sequence[Sequence[Readable]]) -> Prepared | None:
        """Memories of each group of rows as the language model reads them; None for none at all.

        Raises:
            InputError: latents of another bundle, or too many memories.
        """
        for memory in chain.from_iterable(groups):
            # Arrays of one bundle may have the shapes of another's.
            made_by = getattr(memory, "latents_fingerprint", self.bundle.latents_fingerprint)
            if made_by != self.bundle.latents_fingerprint:
                raise InputError(
                    f"memories of a bundle with fingerprint {made_by!r} are not of this reader's "
                    f"bundle {self.bundle.name!r} ({self.bundle.latents_fingerprint!r}): open both "
                    f"with one bundle"
                )
        config = self.bundle.autoencoder.config
        slots = as_slots(
            groups,
            slot_dims=config.slot_dims,
            vector_dims=config.vector_dims,
            most=self.config.max_memories,
        )
        return self.parts.model.prepare(None if slots is None else slots.to(self._device))

    def _with_text(self, text: str, prompt: list[int]) -> list[int]:
        """A prompt with a text before it."""
        if not text:
            return prompt
        start = len(self.words.start)
        return [*prompt[:start], *self.words.encode(f"{text}\n"), *prompt[start:]]

    def _generate(
        self,
        prompts: Sequence[list[int]],
        memory: Prepared | None,
        max_new_tokens: int,
        on_text: OnText | None,
        arguments: dict[str, Any],
    ) -> list[list[int]]:
        words = self.words
        _check_arguments(max_new_tokens, on_text, arguments)
        ids, mask = pad(prompts, words.pad, side="left")
        taken = 0 if memory is None or memory.mask is None else memory.mask.shape[1]
        self._check_room(taken, ids.shape[1], max_new_tokens)
        given: dict[str, Any] = {
            "do_sample": False,
            "eos_token_id": words.end,
            "pad_token_id": words.pad,
        }
        if on_text is not None:
            given["streamer"] = Pieces(words, on_text)
        with self._turn:
            made = self.parts.model.generate(
                ids.to(self._device),
                mask.to(self._device),
                memory,
                max_new_tokens=max_new_tokens,
                **{**given, **arguments},
            )
        rows: list[list[int]] = made.tolist()
        return rows

    def _check_room(self, taken: int, prompt: int, new: int) -> None:
        room = room_of(self.parts.model.lm)
        if room is not None and taken + prompt + new > room:
            raise InputError(
                f"{taken} positions of memories, {prompt} of the prompt and {new} of the answer "
                f"are more than the {room} that the language model holds: recall with a smaller k, "
                f"or pack(max_positions=...)"
            )

    @property
    def _device(self) -> torch.device:
        return next(self.parts.model.parameters()).device


def _bundle(bundle: ModelBundle | str | os.PathLike[str] | None) -> ModelBundle:
    if isinstance(bundle, ModelBundle):
        return bundle
    return load_bundle(None if bundle is None else str(bundle))


def _apart(memories: Sequence[Readable] | Packed) -> tuple[Sequence[Readable], str]:
    """What is to be read as vectors, and what as text."""
    if isinstance(memories, Sequence):
        return memories, ""
    return memories.vectors, memories.text


def _check_asked(what: str, text: str) -> None:
    if not text.strip():
        raise InputError(f"the {what} {text!r} is blank: ask for something")
    _check_unicode(what, text)


def _check_unicode(what: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"the {what} has a lone surrogate at {error.start}: remove it") from None


def _check_arguments(
    max_new_tokens: int, on_text: OnText | None, arguments: dict[str, Any]
) -> None:
    """Refuse what would not end in one text per prompt."""
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens={max_new_tokens!r}: an answer has at least 1")
    if arguments.get("num_return_sequences", 1) != 1 or arguments.get("return_dict_in_generate"):
        raise InputError(
            "num_return_sequences and return_dict_in_generate give more than one text: call "
            "reader.parts.model.generate() with them"
        )
    if on_text is not None and arguments.get("num_beams", 1) != 1:
        raise InputError(
            f"on_text with num_beams={arguments['num_beams']!r}: a beam search changes what it "
            f"wrote, leave one of the two out"
        )
