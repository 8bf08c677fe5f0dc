"""The interactive conversation of `chat`: answers questions from memory and stores every line.

A question is answered with the memories that match it; every other line is only stored. See
`agentmem.chat.questions` for the distinction. Recalled memories are not stored again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rich.text import Text

from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question, is_question
from agentmem.errors import AgentMemError
from agentmem_cli import views
from agentmem_cli.answering import SHOWN, show_answer, show_found
from agentmem_cli.options import ScopeIds, is_whole, local_now
from agentmem_cli.output import Output, safe

if TYPE_CHECKING:
    from agentmem.chat.answerers import Answerer
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.memory import Memory
    from agentmem.results import Receipt

HELP = """\
A line that ends with "?", or starts with a question word or "tell me where", is answered; other
lines are stored.
  /memories       show the newest memories
  /forget ID ...  delete memories permanently
  /help           show this help
  /quit           quit, as does Ctrl-D; Ctrl-C cancels the current operation"""

_NEWEST = 20


class Conversation:
    """One person, one memory, and what answers from it, if anything does."""

    def __init__(
        self,
        memory: Memory,
        out: Output,
        *,
        answerer: Answerer | None,
        scope: ScopeIds,
        k: int,
    ) -> None:
        self._memory, self._out, self._answerer = memory, out, answerer
        self._scope, self._k = scope, k
        self._commands = {"memories": self._memories, "forget": self._forget, "help": self._help}

    def handle(self, line: str) -> bool:
        """Look up or store a line, or run a command; False if it ends the conversation."""
        line = line.strip()
        try:
            if line.startswith("/"):
                return self._run_command(line)
            if line:
                self._converse(line)
        except KeyboardInterrupt:
            self._say("\ncancelled")
        except AgentMemError as error:
            self._complain(str(error))
        return True

    def _converse(self, line: str) -> None:
        found = None
        if is_question(line):
            # Before the line is stored, so that it does not find itself.
            found = self._memory.recall(
                line, k=self._k, where=answers_only(), **self._scope, now=local_now()
            )
        marked = is_only_question(line)
        done = self._memory.add(
            {"role": "user", "content": line},
            **self._scope,
            metadata={QUESTION_KEY: True} if marked else None,
        )
        if not marked:
            self._say(_stored(done))
        if found is not None:
            self._answer(line, found)

    def _answer(self, question: str, found: Recall) -> None:
        """Answer from the memories found, or show them, the best of them in full."""
        if not found:
            self._say("no memory of that yet")
            return
        if self._answerer is not None:
            self._out.say(show_answer(self._answerer.answer(question, found), found))
            return
        self._out.say(show_found(found, SHOWN))
        if more := [hit.id for hit in found[SHOWN:]]:
            self._say(f"  and {', '.join(f'#{id}' for id in more)}")

    def _run_command(self, line: str) -> bool:
        name, _, rest = line[1:].partition(" ")
        if name == "quit":
            if rest.strip():
                self._complain("/quit takes nothing after it")
            return bool(rest.strip())
        command = self._commands.get(name)
        if command is None:
            self._complain(f"unknown command {'/' + name!r}: see /help")
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
        numbers = [word.removeprefix("#") for word in words]
        if not numbers or not all(map(is_whole, numbers)):
            self._complain("/forget takes ids of memories, such as /forget 12")
            return
        done = self._memory.forget([int(number) for number in numbers], **self._scope)
        self._out.say(views.forgotten(done))

    def _help(self, words: list[str]) -> None:
        self._say(HELP)

    def _say(self, text: str) -> None:
        self._out.say(Text(safe(text), style="dim"))

    def _complain(self, text: str) -> None:
        self._out.say(Text(safe(f"error: {text}"), style="red"))


def _stored(done: Receipt) -> str:
    ids = f"#{views.ranges(done.ids)}"
    return f"already known as {ids}" if done.duplicates else f"stored as {ids}"
