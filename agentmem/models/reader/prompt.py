"""The prompt of a reader: the language model's own chat template, with slots for memories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from agentmem.errors import ModelError
from agentmem_storage.interruptions import is_interruption

NOTES, QUESTION = "Notes:\n", "\nQuestion: "
# Placeholders for memories and request; no template changes them.
_MEMORIES, _WORDS = "\x00memories\x00", "\x00words\x00"


@dataclass(frozen=True, slots=True)
class ReadingPrompt:
    """The parts of a chat template around the memories and the request, for one tokenizer.

    Attributes:
        tokenizer: Of the language model.
        prefix: Ids from the template's beginning to the memories.
        before: Template text between memories and request.
        after: Template text after the request, up to the beginning of the answer.
        end: Id that ends an answer.
    """

    tokenizer: Any
    prefix: tuple[int, ...]
    before: str
    after: str
    end: int

    @classmethod
    def of(cls, tokenizer: Any, system_prompt: str) -> ReadingPrompt:
        """Split the chat template of a tokenizer at the memories and the request.

        Raises:
            ModelError: the tokenizer has no chat template, or one that drops what a user says; or
                it has no token that ends an answer.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                "the language model's tokenizer has no chat template: use an instruction-tuned "
                "model, or set tokenizer.chat_template"
            )
        whole = _fill(tokenizer, system_prompt, f"{NOTES}{_MEMORIES}{_WORDS}")
        head, found, rest = whole.partition(_MEMORIES)
        before, also, after = rest.partition(_WORDS)
        if not (found and also):
            raise ModelError("the chat template does not keep the text of a user message")
        prefix = tuple(tokenizer(head, add_special_tokens=False).input_ids)
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-sequence token")
        if not prefix:
            raise ModelError("the chat template has nothing before the text of a user message")
        return cls(tokenizer, prefix, before, after, tokenizer.eos_token_id)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; text that looks like a special token is encoded as plain text."""
        taken = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(taken.input_ids)

    def memory(self, line: str) -> list[int]:
        """Token ids of a memory's line."""
        return self.ids(line + "\n")

    def starts(self, line: str) -> list[int]:
        """Where each token of a memory's line begins in it, ascending; as `memory`."""
        taken = self.tokenizer(
            line + "\n",
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        return [start for start, _ in taken.offset_mapping]

    def request(self, text: str) -> list[int]:
        """Token ids of a request, from the end of the memories to the beginning of the answer."""
        if any(special in text for special in self.tokenizer.all_special_tokens):
            # A question that quotes the template must not end its own turn.
            return [*self._template(self.before), *self.ids(text), *self._template(self.after)]
        return self._template(self.before + text + self.after)

    def question(self, question: str) -> list[int]:
        """Token ids of a question, as `request`."""
        return self.request(QUESTION + question)

    def answer(self, text: str) -> list[int]:
        """Token ids of an answer with its end."""
        return [*self.ids(text), self.end]

    def _template(self, text: str) -> list[int]:
        """Token ids of template text, including special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def _fill(tokenizer: Any, system: str, user: str) -> str:
    """The chat template with a system prompt and a user's message, up to the answer.

    Raises:
        ModelError: the template supports neither way of giving a system prompt.
    """
    variants = (
        [{"role": "system", "content": system}, {"role": "user", "content": user}],
        # Some templates reject a system message.
        [{"role": "user", "content": f"{system}\n\n{user}"}],
    )
    for messages in variants:
        try:
            text: str = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            return text
        except Exception as error:  # templates may raise anything
            if is_interruption(error):
                raise
            failure = error
    raise ModelError(f"the chat template cannot be filled in: {failure}") from failure


def memory_line(text: str, *, who: str = "", day: date | None = None) -> str:
    """A memory as a reader sees it: speaker and day in words that an answer can copy, and text."""
    when = f"{day.day} {day:%B %Y}" if day is not None else ""
    head = f"{who} ({when})" if who and when else who or when
    return f"{head}: {text}" if head else text
