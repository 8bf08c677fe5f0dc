"""A conversation that remembers: what becomes of each line that a person types.

- A line that ends with "?" or begins with a question word asks: what fits it is recalled, and a
  reader answers from that. Every other line tells.
- Every line is stored. One that is a question and nothing else is marked, and left out when
  memories are read: of all memories it is most like the same question asked again, and it answers
  nothing.
- Answers are not stored. They hold nothing that the memories do not; and a reader's mistake would
  come back as a memory, told as if it were true.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from rich.text import Text

from agentmem.errors import AgentMemError
from agentmem_cli import views
from agentmem_cli.answering import ASKED, Answer, Answerer, find
from agentmem_cli.options import ScopeWords
from agentmem_cli.output import Output, safe

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.recall.hits import Chunk
    from agentmem.receipts import Receipt

HELP = """\
What ends with "?" or begins with a question word is answered from memory; all else is noted.
  /memories       the newest memories
  /forget ID ...  delete memories for good
  /help           this
  /quit           end; so does Ctrl-D. Ctrl-C stops an answer"""

_QUESTION_WORD = re.compile(r"(who|whom|whose|what|when|where|which|why|how)\b", re.IGNORECASE)
_ONE_QUESTION = re.compile(r"[^.!]*\?")
_NEWEST = 20
# Memories whose text is shown under an answer; the others are named.
_SHOWN = 3


def asks(line: str) -> bool:
    """Whether a line is to be answered."""
    return line.endswith("?") or _QUESTION_WORD.match(line) is not None


def only_asks(line: str) -> bool:
    """Whether a line is one question and tells nothing."""
    return _ONE_QUESTION.fullmatch(line) is not None


class Conversation:
    """One person, one memory, one reader."""

    def __init__(
        self, memory: Memory, answerer: Answerer, out: Output, *, scope: ScopeWords, k: int
    ) -> None:
        self._memory, self._answerer, self._out = memory, answerer, out
        self._scope, self._k = scope, k
        self._commands = {"memories": self._memories, "forget": self._forget, "help": self._help}

    def hear(self, line: str) -> bool:
        """Answer, note or obey a line; False if it ends the conversation."""
        line = line.strip()
        try:
            if line.startswith("/"):
                return self._obey(line)
            if line:
                self._listen(line)
        except KeyboardInterrupt:
            self._say("\nstopped")
        except AgentMemError as error:
            self._complain(str(error))
        return True

    def _listen(self, line: str) -> None:
        question = asks(line)
        # Before the line is stored, so that it does not find itself.
        found = find(self._memory, line, where=None, k=self._k, **self._scope) if question else None
        marked = only_asks(line)
        done = self._memory.add(
            {"role": "user", "content": line},
            **self._scope,
            metadata={ASKED: True} if marked else None,
        )
        if not marked:
            self._say(_noted(done))
        if found is not None:
            said = self._answerer.answer(line, found, on_text=self._stream)
            self._sources(said)

    def _stream(self, piece: str) -> None:
        self._out.say(Text(safe(piece), style="bold"), end="")

    def _sources(self, answer: Answer) -> None:
        """End the answer's line, and name what it was drawn from."""
        if answer.text is None:
            self._say("no memory of that yet")
            return
        self._out.say(Text("" if answer.text else "(no answer)"))
        for hit in answer.hits[:_SHOWN]:
            self._out.say(_named(hit))
        if more := [hit.id for hit in answer.hits[_SHOWN:]]:
            self._say(f"  and {', '.join(f'#{id}' for id in more)}")
        if answer.left_out:
            self._say(f"  {views.number(answer.left_out, 'memory', 'memories')} did not fit")

    def _obey(self, line: str) -> bool:
        name, _, rest = line[1:].partition(" ")
        if name == "quit":
            return False
        command = self._commands.get(name)
        if command is None:
            self._complain(f"no command {'/' + name!r}: /help tells what there is")
        else:
            command(rest.split())
        return True

    def _memories(self, words: list[str]) -> None:
        newest: deque[Chunk] = deque(maxlen=_NEWEST)
        count = 0
        for chunk in self._memory.list(**self._scope):
            newest.append(chunk)
            count += 1
        for chunk in newest:
            self._out.say(_named(chunk))
        if count > len(newest):
            self._say(f"  {count - len(newest):,} older ones: `agentmem list` shows all")
        if not count:
            self._say("no memories yet")

    def _forget(self, words: list[str]) -> None:
        try:
            ids = [int(word.lstrip("#")) for word in words]
        except ValueError:
            ids = []
        if not ids:
            self._complain("/forget takes ids of memories, such as /forget 12")
            return
        done = self._memory.forget(ids, **self._scope)
        self._out.say(views.forgotten(done))

    def _help(self, words: list[str]) -> None:
        self._say(HELP)

    def _say(self, text: str) -> None:
        self._out.say(Text(safe(text), style="dim"))

    def _complain(self, text: str) -> None:
        self._out.say(Text(safe(f"error: {text}"), style="red"))


def _noted(done: Receipt) -> str:
    ids = f"#{views.ranges(done.ids)}"
    return f"known already, as {ids}" if done.duplicates else f"noted as {ids}"


def _named(chunk: Chunk) -> Text:
    head = f"  #{chunk.id}  {chunk.created_at:%Y-%m-%d}  {safe(views.who(chunk))}: "
    return Text.assemble((head, "dim"), views.short(chunk.text))
