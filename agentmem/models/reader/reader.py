"""A reader as people use it: made around a language model, saved, loaded, and asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from agentmem.errors import InputError, ModelNotFoundError
from agentmem.models.bundle import ModelBundle, load_bundle
from agentmem.models.reader.configuration import CONFIG, ReaderConfig
from agentmem.models.reader.modeling import Prepared, token_table
from agentmem.models.reader.prompts import (
    answer_text,
    continue_prompt,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.saving import (
    ReaderParts,
    load_lm,
    load_reader,
    load_tokenizer,
    new_reader,
    save_reader,
)
from agentmem.models.reader.slots import Readable, as_slots
from agentmem.models.reader.words import Words

# The folder of a bundle that holds its reader.
READER = "reader"

OnText = Callable[[str], None]


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
                machine. A model that is given loaded and has no name is saved with the reader.
            bundle: The model bundle whose memories it shall read; None: the shipped one.
            config: The route and its sizes; None: slot attention.
            tokenizer: The language model's; None: the one beside it, or the bundle's if the
                vocabularies are of one size.
            lora: Arguments of peft's ``LoraConfig``, to adapt the language model too.

        Raises:
            ModelError: language model, tokenizer and bundle do not fit each other.
            ModelNotFoundError: there is no such language model on this machine.
            MissingExtraError: LoRA without peft.
        """
        own = _bundle(bundle)
        name = None
        if not isinstance(lm, PreTrainedModel):
            name, lm = str(lm), load_lm(lm)
            if tokenizer is None and _rows(lm) != own.tokenizer.vocab_size:
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
            ModelError: it belongs to another bundle or language model, or its files are damaged.
        """
        own = _bundle(bundle)
        place = own.folder / READER if folder is None else Path(folder)
        if folder is None and not (place / CONFIG).is_file():
            raise ModelNotFoundError(
                f"bundle {own.name!r} comes without a reader: train one with "
                f"`agentmem train reader`"
            )
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
        memories: Sequence[Readable],
        *,
        text: str = "",
        max_new_tokens: int = 64,
        on_text: OnText | None = None,
        **arguments: Any,
    ) -> str:
        """Answer a question from memories.

        Args:
            question: In plain words.
            memories: Hits, best in the order they were said; may be none.
            text: More to read as plain tokens, before the question.
            max_new_tokens: Longest answer, tokens of the language model.
            on_text: Receives the answer piece by piece while it is written.
            **arguments: For the language model's ``generate``; greedy if there are none.

        Returns:
            The answer; ``"not in memory"`` is one.

        Raises:
            InputError: the question is blank, latents are of another bundle, or there are more
                memories than the reader or its language model holds.
        """
        if not question.strip():
            raise InputError(f"the question {question!r} is blank: ask for something")
        prompt = question_prompt(self.words, question)
        if text:
            start = len(self.words.start)
            prompt = [*prompt[:start], *self.words.encode(f"{text}\n"), *prompt[start:]]
        (made,) = self._generate(
            [prompt], self.prepare([memories]), max_new_tokens, on_text, arguments
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
        prompts = [continue_prompt(self.words, self.words.encode(cue)) for cue in cues]
        made = self._generate(prompts, self.prepare([memories]), max_new_tokens, None, arguments)
        return [answer_text(self.words, ids) for ids in made]

    @torch.no_grad()
    def embeds(self, memories: Sequence[Readable]) -> tuple[Tensor, Tensor]:
        """Memories as input embeddings of the language model.

        Returns:
            Embeddings float (1, P, H), and their mask int64 (1, P), all ones.

        Raises:
            InputError: there are no memories, or this reader takes them by slot attention.
        """
        if self.config.route != "positions":
            raise InputError(
                "this reader takes memories by slot attention, they have no input embeddings: "
                "use reader.answer(), or a reader with ReaderConfig(route='positions')"
            )
        made = self.prepare([memories])
        if made is None or made.embeds is None or made.mask is None:
            raise InputError("no memories, no embeddings: recall found nothing")
        inside = made.mask[0]
        embeds = made.embeds[:, inside]
        return embeds, torch.ones(embeds.shape[:2], dtype=torch.int64)

    @torch.no_grad()
    def prepare(self, groups: Sequence[Sequence[Readable]]) -> Prepared | None:
        """Memories of each group of rows as the language model reads them; None for none at all.

        Raises:
            InputError: latents of another bundle, or too many memories.
        """
        config = self.bundle.autoencoder.config
        slots = as_slots(
            groups,
            slot_dims=config.slot_dims,
            vector_dims=config.vector_dims,
            most=self.config.max_memories,
        )
        return self.parts.model.prepare(None if slots is None else slots.to(self._device))

    def _generate(
        self,
        prompts: Sequence[list[int]],
        memory: Prepared | None,
        max_new_tokens: int,
        on_text: OnText | None,
        arguments: dict[str, Any],
    ) -> list[list[int]]:
        words = self.words
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), words.pad)
        mask = torch.zeros(len(prompts), longest, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        taken = 0 if memory is None or memory.mask is None else memory.mask.shape[1]
        self._check_room(taken, longest, max_new_tokens)
        given: dict[str, Any] = {
            "do_sample": False,
            "eos_token_id": words.end,
            "pad_token_id": words.pad,
        }
        if on_text is not None:
            given["streamer"] = _Pieces(words, on_text, skip="embeds" if taken else "prompt")
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
        room = getattr(
            self.parts.model.lm.config.get_text_config(), "max_position_embeddings", None
        )
        if room is not None and taken + prompt + new > room:
            raise InputError(
                f"{taken} positions of memories, {prompt} of the prompt and {new} of the answer "
                f"are more than the {room} that the language model holds: recall with a smaller k, "
                f"or pack(max_positions=...)"
            )

    @property
    def _device(self) -> torch.device:
        return next(self.parts.model.parameters()).device


class _Pieces(BaseStreamer):
    """Hands on the text of an answer while its ids come."""

    def __init__(self, words: Words, on_text: OnText, *, skip: str) -> None:
        self._words, self._on_text = words, on_text
        # `generate` hands over a prompt's ids first; embeddings have none.
        self._skip = skip == "prompt"
        self._ids: list[int] = []
        self._told = ""

    def put(self, value: Tensor) -> None:
        """The next ids, int64 (1,) or a prompt's (1, T)."""
        if self._skip:
            self._skip = False
            return
        self._ids.extend(value.flatten().tolist())
        text = answer_text(self._words, self._ids)
        # A character may come in several tokens.
        if len(text) > len(self._told) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self._on_text(text[len(self._told) :])
            self._told = text

    def end(self) -> None:
        """The answer is whole."""
        text = answer_text(self._words, self._ids)
        if len(text) > len(self._told):
            self._on_text(text[len(self._told) :])


def _bundle(bundle: ModelBundle | str | os.PathLike[str] | None) -> ModelBundle:
    if isinstance(bundle, ModelBundle):
        return bundle
    return load_bundle(None if bundle is None else str(bundle))


def _rows(lm: PreTrainedModel) -> int:
    return token_table(lm).shape[0]
