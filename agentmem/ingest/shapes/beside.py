"""Calls of tools and their results beside a message's content, under the keys of all formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.ingest.shapes.envelopes import plain
from agentmem.ingest.shapes.fields import squashed
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Without case and underscores: OpenAI's, AG-UI's ("toolCalls"), and those of hand-written messages.
_LISTS = {"toolcalls", "invalidtoolcalls"}
_CALLS = {"toolcall", "tooluse", "tooluses", "functioncall", "functioncalls"}
_RESULTS = {
    f"{whose}{what}{many}"
    for whose in ("tool", "function")
    for what in ("result", "response", "output")
    for many in ("", "s")
}
# OpenAI's before it had lists; its value has a name and arguments.
_DEPRECATED = "function_call"


def calls_beside(message: Mapping[str, Any], where: str) -> list[object]:
    """The tool calls of a message that stand beside its content.

    LangChain repeats them in its "additional_kwargs", which count if there are no others.

    Raises:
        InputError: what should be a list of calls is none.
    """
    extra = message.get("additional_kwargs")
    found = _calls(message, where)
    return found or _calls(extra if isinstance(extra, Mapping) else {}, where)


def _calls(holder: Mapping[str, Any], where: str) -> list[object]:
    calls: list[object] = []
    for key, given in holder.items():
        if given is None:
            continue
        if key == _DEPRECATED:
            calls.append({"function": given})
        elif (kind := squashed(key)) in _LISTS:
            if not isinstance(given, list | tuple):
                raise InputError(f"{where}: {key!r} must be a list, got {shown(given)}")
            calls += given
        elif kind in _CALLS:
            calls += [one for one in map(plain, _each(given)) if one and isinstance(one, Mapping)]
    return calls


def results_beside(message: Mapping[str, Any]) -> Iterator[object]:
    """Yield the results of tools that stand beside the content of a message."""
    for key, given in message.items():
        if given is not None and is_result(key):
            yield from (one for one in map(plain, _each(given)) if one not in (None, "", {}))


def is_result(key: object) -> bool:
    """Whether what stands under a key is the result of a tool, or several."""
    return squashed(key) in _RESULTS


def _each(given: object) -> list[object]:
    return list(given) if isinstance(given, list | tuple) else [given]
