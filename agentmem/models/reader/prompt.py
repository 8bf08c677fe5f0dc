"""How a reader speaks: the language model's own chat template, with room for memories in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from agentmem.errors import ModelError

NOTES, QUESTION = "Notes:\n", "\nQuestion: "
# Stand in for what is filled in; no template changes them.
_MEMORIES, _WORDS = "\x00memories\x00", "\x00words\x00"


@dataclass(frozen=True, slots=True)
class ReadingPrompt:
    """The token ids around memories and a request, by one tokenizer and its chat template.

    Attributes:
        prefix: Ids from the template's beginning to the memories.
        sink: Id of the token before each memory: the first of the template.
        end: Id that ends an answer.
    """

    tokenizer: Any
    prefix: tuple[int, ...]
    before: str
    after: str
    sink: int
    end: int

    @classmethod
    def of(cls, tokenizer: Any, system_prompt: str) -> ReadingPrompt:
        """Cut the chat template of a tokenizer where memories and request stand.

        Raises:
            ModelError: the tokenizer has no chat template, or one that drops what a user says.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                "the language model's tokenizer has no chat template: use an instruction-tuned "
                "model, or set tokenizer.chat_template"
            )
        messages = [
            {"role": "system", "content": system_prompt},
            {"role": "user", "content": f"{NOTES}{_MEMORIES}{_WORDS}"},
        ]
        whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        head, found, rest = whole.partition(_MEMORIES)
        before, also, after = rest.partition(_WORDS)
        if not (found and also):
            raise ModelError("the chat template does not keep the text of a user message")
        prefix = tuple(tokenizer(head, add_special_tokens=False).input_ids)
        if tokenizer.eos_token_id is None or not prefix:
            raise ModelError("the tokenizer has no end-of-sequence token")
        return cls(tokenizer, prefix, before, after, prefix[0], tokenizer.eos_token_id)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def memory(self, line: str) -> list[int]:
        """Token ids of a memory's line."""
        return self.ids(line + "\n")

    def request(self, text: str) -> list[int]:
        """Token ids of what the user asks, from behind the memories to where the answer begins."""
        return self.ids(self.before + text + self.after)

    def question(self, question: str) -> list[int]:
        """Token ids of a question, as `request`."""
        return self.request(QUESTION + question)

    def answer(self, text: str) -> list[int]:
        """Token ids of an answer with its end."""
        return [*self.ids(text), self.end]


def memory_line(text: str, *, who: str = "", day: date | None = None) -> str:
    """A memory as a reader sees it: who said it and when, in words that an answer may repeat."""
    when = f"{day.day} {day:%B %Y}" if day is not None else ""
    head = f"{who} ({when})" if who and when else who or when
    return f"{head}: {text}" if head else text
