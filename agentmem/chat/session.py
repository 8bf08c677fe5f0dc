"""`Session`: a conversation that remembers, around any call to a language model.

Before the call, `Session.context` adds what fits of the memory to the messages; after it,
`Session.observe` stores what was said. What was recalled is recognized and never stored again, and
the store tells what is new of a conversation that is observed after every turn.

`Session.observe_later` does not let a reply wait until a large text is stored; `agentmem.wrap` uses
it.

A memory that fails must not cost the user a reply. Whatever goes wrong in it is logged, and kept
as `Session.error`; the conversation goes on without it. Only wrong arguments raise.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar

from agentmem.chat.cut_off import CUT_OFF, finished
from agentmem.chat.form import in_form_of
from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question
from agentmem.chat.recalled import (
    RECALLED,
    REMEMBERED,
    is_lookup,
    is_recalled,
    remembering,
)
from agentmem.chat.session_checks import check_messages, check_options, check_reply
from agentmem.chat.unreadable import read_others
from agentmem.context.format import line, split_blocks
from agentmem.context.hits import Hit
from agentmem.context.pack import CountTokens, pack
from agentmem.context.recall import Recall
from agentmem.errors import BlankError, InputError
from agentmem.ingest.normalize import Normalized, normalize
from agentmem.ingest.shapes.envelopes import plain
from agentmem.results import Receipt
from agentmem.types import MESSAGE_ID, Message, Part
from agentmem.workers import Later, Task
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.records import Scope
from agentmem_storage.text import is_blank

R = TypeVar("R")

# What a model is told to do is part of the program, not of what was said.
_INSTRUCTING = ("system", "developer")
# Of what the messages show already, how much a search looks past.
_MOST_SHOWN = 64
# What a chunk holds at least, about.
_CHUNK_CHARS = 256
# The most code points that a caller waits for: what takes a fraction of a second on a busy machine.
AT_ONCE = 32_768

_log = logging.getLogger(__name__)


class Session:
    """One conversation; made by `Memory.session`.

    Attributes:
        error: The last failure of the memory, None if there was none. It was logged, too.
    """

    error: Exception | None

    def __init__(
        self,
        recall: Callable[..., Recall],
        write: Callable[[Normalized], Receipt],
        *,
        scope: Scope,
        max_chars: int,
        later: Later,
    ) -> None:
        """Make a session.

        Args:
            recall: `Memory.recall`, in the scope to recall from.
            write: Stores parts.
            scope: Where they are stored.
            max_chars: The longest text that is accepted, in code points.
            later: Does what nobody waits for.
        """
        self._recall, self._write, self._later = recall, write, later
        self._scope, self._max_chars = scope, max_chars
        self._storing_last: Task | None = None
        self.error = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until all that was observed is stored."""
        self.flush()

    def __repr__(self) -> str:
        ids = ("user_id", "agent_id", "session_id")
        given = {name: getattr(self._scope, name) for name in ids}
        return f"Session({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"

    def context(
        self,
        messages: Sequence[Any],
        *,
        max_tokens: int = 600,
        k: int = 8,
        count_tokens: CountTokens | None = None,
    ) -> list[Any]:
        """The messages to send: the caller's own, and what the memory has for the last question.

        Recalled memories stand in a user message of their own before the user's last one, in the
        form of that one, such as with Google's ``parts``. What the messages show already is left
        out, and so are earlier questions, which answer nothing.

        Args:
            messages: The conversation so far, in any shape that `Memory.add` takes.
            max_tokens: Budget for the recalled memories, in tokens.
            k: Maximum number of memories.
            count_tokens: Counts the tokens of a text; by default the store's own tokenizer does.

        Returns:
            A new list, equal to ``messages`` if nothing was found or the memory fails; see `error`.

        Raises:
            InputError: ``messages`` is no list or tuple, ``max_tokens`` or ``k`` is not positive,
                or ``count_tokens`` cannot be called.
        """
        given = check_messages(messages)
        k, max_tokens = check_options(k=k, max_tokens=max_tokens, count_tokens=count_tokens)
        added = self._guarded(
            "recalling", lambda: self._with_memories(given, max_tokens, k, count_tokens)
        )
        return given if added is None else added

    def observe(self, messages: Sequence[Any], reply: object = None) -> Receipt | None:
        """Store what is new of a conversation, and the reply to it.

        Messages may be all of the conversation, a window of it, or only what is new, with or
        without what `context` added. System messages are not stored, and questions are marked, so
        that `context` does not answer with them. Ids and times of the model's messages do not
        count: they differ between a response and the message that is sent back. A message that
        cannot be read is left out, counted as "unreadable" and kept as `error`.

        Args:
            messages: What was sent.
            reply: A text, a response or message of OpenAI or Anthropic, as an object or a dict, or
                None if there was none. Of several choices the first is stored.

        Returns:
            What was stored, or None if the memory fails; see `error`.

        Raises:
            InputError: ``messages`` is no list or tuple, or ``reply`` is nothing like a reply.
        """
        given = check_messages(messages)
        check_reply(reply)
        self.flush()  # what was said before is stored before
        return self._guarded("storing", lambda: self._storing(given, reply)[0]())

    def observe_later(self, messages: Sequence[Any], reply: object = None) -> None:
        """Store what is new of a conversation and its reply, large ones after this returns.

        Up to 32,768 characters are stored at once, unless more is being stored already. The
        rest is stored in order by a thread, for which `flush`, `Memory.close` and the end of the
        program wait; it is not durable before, and it is then that it may fail, see `error`.

        Args:
            messages: See `observe`.
            reply: See `observe`.

        Raises:
            InputError: as in `observe`.
        """
        given = check_messages(messages)
        check_reply(reply)
        made = self._guarded("storing", lambda: self._storing(given, reply))
        if made is None:
            return
        store, size = made
        last = self._storing_last
        if size > AT_ONCE or (last is not None and not last.done):
            self._storing_last = self._later.run(lambda: self._guarded("storing", store))
        else:
            self._guarded("storing", store)

    def flush(self) -> None:
        """Wait until all that `observe_later` was given is stored."""
        if (last := self._storing_last) is not None:
            last.wait()

    def failed(self, doing: str, error: Exception) -> None:
        """Log a failure of the memory, and keep it as `error`."""
        self.error = error
        _log.error("the conversation goes on without memory: %s failed", doing, exc_info=error)

    def _guarded(self, doing: str, work: Callable[[], R]) -> R | None:
        try:
            return work()
        except Exception as error:
            if is_interruption(error):
                raise
            self.failed(doing, error)
            return None

    def _storing(self, given: list[Any], reply: object) -> tuple[Callable[[], Receipt], int]:
        """What stores a conversation and a reply as they are now, and its size in code points."""
        said = self._said(given, *_answer(reply))
        return partial(self._write, said), sum(len(part.text) for part in said.parts)

    def _with_memories(
        self, given: list[Any], max_tokens: int, k: int, count_tokens: CountTokens | None
    ) -> list[Any]:
        read = self._read(given)
        asked = next((texts for parts in reversed(read) if (texts := _user_texts(parts))), None)
        if asked is None:
            return given
        shown = [part for parts in read for part in parts]
        room = min(sum(1 + len(part.text) // _CHUNK_CHARS for part in shown), _MOST_SHOWN)
        found = self._recall("\n".join(asked), k=k + room, where=answers_only())
        if count_tokens is None and found.full_scope is not None:
            count_tokens = found.full_scope.count_tokens
        blocks = "\n".join(body for part in shown for body in split_blocks(part.text)[1])
        hits = [hit for hit in found if not _is_shown(hit, shown, blocks)][:k]
        added = pack(hits, max_tokens=max_tokens, count_tokens=count_tokens).to_messages()
        at = _place(read)
        added = [in_form_of(given[at], one) for one in added] if at < len(given) else added
        return [*given[:at], *added, *given[at:]]

    def _read(self, given: Sequence[Any]) -> list[tuple[Part, ...]]:
        """The texts of each message; none of one that has no text, or cannot be read.

        Raises:
            InputError: one that cannot be read follows the user's last, and may be what is asked.
        """
        read: list[tuple[Part, ...]] = []
        failed: InputError | None = None
        for message in given:
            try:
                read.append(self._parts(message))
            except InputError as error:
                failed = error
                read.append(())
            else:
                failed = None if _user_texts(read[-1]) else failed
        if failed is not None:
            raise failed
        return read

    def _parts(self, message: Any) -> tuple[Part, ...]:
        """The texts of one message; none if it has no text."""
        try:
            return normalize([message], max_chars=self._max_chars).parts
        except BlankError:
            return ()

    def _said(self, given: list[Any], replied: object, cut: Mapping[str, int]) -> Normalized:
        """What is to be stored of a conversation and the reply to it, and what is left out."""
        said = self._normalized(given) if given else Normalized((), {})
        answer = Normalized((), {}) if replied is None else self._normalized(replied)
        left_out = _of_tools([*said.parts, *answer.parts])
        parts = [
            kept
            for at, part in enumerate(said.parts)
            if at not in left_out and (kept := _kept(part)) is not None
        ]
        # A reply is said now, right after what it answers: clocks of servers may be wrong.
        last = (parts[-1].created_at or parts[-1].ordered_at) if parts else None
        for at, part in enumerate(answer.parts, len(said.parts)):
            now = _kept(replace(part, created_at=None, ordered_at=last))
            if at not in left_out and now is not None:
                parts.append(now)
        skipped = Counter(said.skipped)
        for counted in (answer.skipped, cut, Counter(left_out.values())):
            skipped.update(counted)
        return Normalized(tuple(parts), dict(skipped), tuple(range(len(parts))))

    def _normalized(self, content: Any) -> Normalized:
        read = partial(normalize, scope=self._scope, max_chars=self._max_chars)
        try:
            return read(content)
        except BlankError:
            return Normalized((), {"blank": 1})
        except InputError as error:
            return read_others(content, error, read, self._left_out)

    def _left_out(self, error: InputError) -> None:
        self.error = error
        _log.error("a message of the conversation cannot be read and is not stored: %s", error)


def _answer(reply: object) -> tuple[Any, dict[str, int]]:
    """A reply as messages that can be added, None if there was none; and what it lacks."""
    if isinstance(reply, str):
        return None if is_blank(reply) else Message(reply, "assistant"), {}
    reply = plain(reply)
    if not isinstance(reply, Mapping | list | tuple):
        return reply, {}
    if not isinstance(reply, Mapping):
        reply = [Message(one, "assistant") if isinstance(one, str) else one for one in reply]
    if isinstance(reply, Mapping) and isinstance(choices := reply.get("choices"), list | tuple):
        reply = {**reply, "choices": list(choices[:1])}
    whole, cut = finished(reply)
    if cut:
        _log.warning("the reply was cut off in a call of %s, which is not stored", ", ".join(cut))
    if isinstance(whole, Mapping):
        # Gateways send an error in the place of an answer; a response may go on in the background,
        # or have been cut off in its first call.
        refused = "choices" in whole and not whole["choices"]
        whole = {} if refused or whole.get("output") == [] else whole
    return whole or None, {CUT_OFF: len(cut)} if cut else {}


def _user_texts(parts: Sequence[Part]) -> list[str]:
    """What a user says in a message, without what was recalled for it."""
    said = [part for part in parts if part.kind == "message" and part.role == "user"]
    return [text for part in said if not is_blank(text := split_blocks(part.text)[0])]


def _place(read: Sequence[Sequence[Part]]) -> int:
    """Where recalled memories go: before the user's last message, and after all instructions.

    A message with results of tools has to follow their calls directly.
    """
    for at in reversed(range(len(read))):
        if _user_texts(read[at]) and all(part.kind != "tool_result" for part in read[at]):
            return at
    instructing = [bool(parts) and parts[0].role in _INSTRUCTING for parts in read]
    return instructing.index(False)


def _is_shown(hit: Hit, shown: Sequence[Part], blocks: str) -> bool:
    """Whether the messages have the text of a hit, or the hit itself in an earlier block."""
    if f"\n{line(hit)}\n" in f"\n{blocks}\n":
        return True
    start, end = hit.span
    whole = len(hit.source.chunk_ids) == 1
    return any(
        part.role == hit.role and (part.text if whole else part.text[start:end]) == hit.text
        for part in shown
    )


def _of_tools(parts: Sequence[Part]) -> dict[int, str]:
    """The parts that the memory holds because of its tools, by index, and what they are."""
    recalled = {at: RECALLED for at, part in enumerate(parts) if is_recalled(part)}
    return recalled | dict.fromkeys(remembering(parts), REMEMBERED)


def _kept(part: Part) -> Part | None:
    """A part as it is stored; None if it is not."""
    text, _ = split_blocks(part.text)
    if is_blank(text) or (part.kind == "message" and part.role in _INSTRUCTING):
        return None
    part = replace(part, text=text)
    if part.role == "user":
        if part.kind == "message" and is_only_question(text.strip()):
            part = replace(part, metadata={QUESTION_KEY: True, **part.metadata})
        return part
    metadata = {key: value for key, value in part.metadata.items() if key != MESSAGE_ID}
    if is_lookup(part):
        metadata = {QUESTION_KEY: True, **metadata}
    said_at = part.created_at or part.ordered_at
    return replace(part, metadata=metadata, created_at=None, ordered_at=said_at)
