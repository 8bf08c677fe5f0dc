"""A conversation that remembers: what becomes of each line that a person types.

A line that asks is answered with the memories that fit it; every other line tells. All lines are
stored, see `agentmem.chat.questions`; what is shown is not.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rich.text import Text

from agentmem.chat.questions import ASKED, answering, asks, only_asks
from agentmem.errors import AgentMemError
from agentmem_cli import views
from agentmem_cli.options import ScopeWords
from agentmem_cli.output import Output, safe

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.memory import Memory
    from agentmem.results import Receipt

HELP = """\
What ends with "?" or begins with a question word is looked up in memory; all else is noted.
  /memories       the newest memories
  /forget ID ...  delete memories for good
  /help           this
  /quit           end; so does Ctrl-D. Ctrl-C stops what is being done"""

_NEWEST = 20
# Memories whose text is shown; the others are named.
_SHOWN = 3


class Conversation:
    """One person and one memory."""

    def __init__(self, memory: Memory, out: Output, *, scope: ScopeWords, k: int) -> None:
        self._memory, self._out = memory, out
        self._scope, self._k = scope, k
        self._told = False  # whether it has been said that there is no reader
        self._commands = {"memories": self._memories, "forget": self._forget, "help": self._help}

    def hear(self, line: str) -> bool:
        """Look up, note or obey a line; False if it ends the conversation."""
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
        found = None
        if asks(line):
            # Before the line is stored, so that it does not find itself.
            found = self._memory.recall(line, k=self._k, where=answering(), **self._scope)
        marked = only_asks(line)
        done = self._memory.add(
            {"role": "user", "content": line},
            **self._scope,
            metadata={ASKED: True} if marked else None,
        )
        if not marked:
            self._say(_noted(done))
        if found is not None:
            self._show(found)

    def _show(self, found: Recall) -> None:
        """The memories that may answer, the best of them in full."""
        if not found:
            self._say("no memory of that yet")
            return
        for hit in found[:_SHOWN]:
            self._out.say(views.named(hit, whole=True))
        if more := [hit.id for hit in found[_SHOWN:]]:
            self._say(f"  and {', '.join(f'#{id}' for id in more)}")
        if not self._told:
            self._say(views.NO_READER)
            self._told = True

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
            self._out.say(views.named(chunk))
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
