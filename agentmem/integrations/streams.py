"""What has arrived of a reply that is streamed, as a reply that can be stored.

The events are those of OpenAI's chat completions and responses and of Anthropic's messages, as
objects or as dicts. A stream may end anywhere: what arrived by then is the reply, which says that
it was cut off, see `agentmem.chat.cut_off`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

from agentmem.chat.cut_off import CUT_COMPLETION, CUT_MESSAGES, is_whole


class Received(Protocol):
    """Collects the events of one stream."""

    def add(self, event: object) -> None:
        """Take one event."""

    def reply(self) -> object:
        """What has arrived so far, for `Session.observe`; None if nothing has."""


class CompletionChunks:
    """Chunks of a chat completion; of several choices, the first."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": [], "transcript": []}
        # A call without a list of calls, as servers sent it before there was one.
        self._single = {"name": "", "arguments": ""}
        self._calls: list[dict[str, str]] = []
        # The call that each index stands for now: some servers give all of them the same.
        self._open: dict[int, dict[str, str]] = {}
        self._reason: str | None = None

    def add(self, event: object) -> None:
        """See `Received`."""
        for choice in field(event, "choices") or ():
            if field(choice, "index"):
                continue
            delta = field(choice, "delta")
            self._reason = field(choice, "finish_reason") or self._reason
            audio, single = field(delta, "audio"), field(delta, "function_call")
            for key, pieces in self._texts.items():
                pieces.append(field(audio if key == "transcript" else delta, key) or "")
            for key in self._single:
                self._single[key] += field(single, key) or ""
            for number, piece in enumerate(field(delta, "tool_calls") or ()):
                index, custom = field(piece, "index"), field(piece, "custom")
                function = field(piece, "function") if custom is None else custom
                name = field(function, "name") or ""
                arguments = field(function, "arguments" if custom is None else "input") or ""
                call = self._call(
                    number if index is None else index,
                    field(piece, "id") or "",
                    begins=bool(name and arguments),
                )
                if custom is not None:
                    call["type"] = "custom"
                # Some servers repeat the whole name with every piece of the arguments.
                if name != call["name"]:
                    call["name"] += name
                call["arguments"] += arguments

    def _call(self, index: int, id: str, *, begins: bool) -> dict[str, str]:
        """The call that a piece belongs to: that of its index, unless it is another.

        Args:
            index: Where it stands.
            id: Its id; "" if it has none.
            begins: Whether it has a name and arguments, which may be all of a call without an id.
        """
        call = self._open.get(index)
        others = call is not None and id and call["id"] and id != call["id"]
        begins = begins and not id and call is not None and is_whole(call["arguments"])
        if call is None or others or begins:
            call = self._open[index] = {"type": "function", "id": "", "name": "", "arguments": ""}
            self._calls.append(call)
        call["id"] = call["id"] or id
        return call

    def reply(self) -> object:
        """See `Received`."""
        message: dict[str, Any] = {
            key: text for key, pieces in self._texts.items() if (text := "".join(pieces))
        }
        if transcript := message.pop("transcript", None):
            message["audio"] = {"transcript": transcript}
        if self._single["name"]:
            message["function_call"] = self._single
        if calls := [_called(call) for call in self._calls if call["name"]]:
            message["tool_calls"] = calls
        if not message:
            return None
        reason = self._reason or CUT_COMPLETION
        whole = {"message": {"role": "assistant", **message}, "finish_reason": reason}
        return {"choices": [whole]}


def _called(call: Mapping[str, str]) -> dict[str, Any]:
    """A call as it stands in a message."""
    kind = call["type"]
    given = {"name": call["name"], "input" if kind == "custom" else "arguments": call["arguments"]}
    return {"type": kind, "id": call["id"] or None, kind: given}


class ResponseEvents:
    """Events of the Responses API."""

    def __init__(self) -> None:
        self._whole: object = None
        self._items: dict[int, object] = {}
        self._texts: dict[int, list[str]] = defaultdict(list)

    def add(self, event: object) -> None:
        """See `Received`."""
        kind, at = field(event, "type"), field(event, "output_index")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            response = field(event, "response")
            self._whole = response if field(response, "output") else None
        elif kind == "response.output_item.done":
            self._items[at] = field(event, "item")
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            self._texts[at].append(field(event, "delta"))

    def reply(self) -> object:
        """See `Received`."""
        begun: dict[int, object] = {
            at: {"role": "assistant", "content": "".join(pieces)}
            for at, pieces in self._texts.items()
        }
        items = [item for _, item in sorted((begun | self._items).items())]
        return self._whole or items or None


class MessageEvents:
    """Events of Anthropic's messages."""

    def __init__(self) -> None:
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = defaultdict(list)
        self._ended: set[int] = set()
        self._reason: str | None = None

    def add(self, event: object) -> None:
        """See `Received`."""
        kind, at = field(event, "type"), field(event, "index")
        if kind == "content_block_start":
            block = field(event, "content_block")
            self._blocks[at] = dict(block) if isinstance(block, Mapping) else _dumped(block)
        elif kind == "content_block_delta":
            delta = field(event, "delta")
            if field(delta, "type") == "text_delta":
                self._blocks[at]["text"] += field(delta, "text")
            elif field(delta, "type") == "input_json_delta":
                self._inputs[at].append(field(delta, "partial_json"))
        elif kind == "content_block_stop":
            self._ended.add(at)
        elif kind == "message_delta":
            self._reason = field(field(event, "delta"), "stop_reason")

    def reply(self) -> object:
        """See `Received`."""
        content, whole, limited = [], True, self._reason in CUT_MESSAGES
        for at, block in sorted(self._blocks.items()):
            given = "".join(self._inputs[at])
            whole = is_whole(given) if given else at in self._ended and not limited
            content.append({**block, "input": json.loads(given)} if given and whole else block)
        reason = None if whole else CUT_MESSAGES[0]
        return {"role": "assistant", "content": content, "stop_reason": reason} if content else None


def field(value: object, name: str) -> Any:
    """A field of an SDK's object or of a dict; None if it has none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _dumped(block: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = block.model_dump(mode="json")
    return dumped
