"""Messages of tools, and the calls and results that stand beside the content of other messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.ingest.shapes.beside import calls_beside, results_beside
from agentmem.ingest.shapes.blocks import read_once, read_outputs
from agentmem.ingest.shapes.envelopes import plain, plain_blocks
from agentmem.ingest.shapes.fields import read_contents
from agentmem.ingest.shapes.results import open_result
from agentmem.ingest.shapes.tools import as_result, call_id_of, call_part, names_tool, read_call
from agentmem.types import Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown


def read_tool_message(
    item: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a message with the role of a tool."""
    # Its id and its name are those of the message.
    said = {key: value for key, value in item.items() if key not in ("id", "name")}
    extra = item.get("additional_kwargs")
    if call_id_of(said) is None and isinstance(extra, Mapping):
        said["tool_call_id"] = extra.get("tool_call_id")
    outputs, result = open_result(said, base, where)
    outputs = [plain_blocks(one) for one in outputs if one or one == 0]
    answers, calls = _answers(item, base, where)
    if not outputs and not answers:
        read_contents(item, where)  # refuses text under an unknown key

    def read(given: list[tuple[list[object], Part]], more: Counter[str]) -> Iterator[Part]:
        for found, one in given:
            yield from read_outputs(found, one, more, where)

    # As a whole, where it is not told again by the list of answers.
    whole = [[(outputs, result)]] if outputs or not answers else []
    yield from read_once([answers, *whole] if answers else whole, read, skipped)
    yield from read_calls({"tool_calls": calls}, set(), base, where)


def _answers(
    item: Mapping[str, Any], base: Part, where: str
) -> tuple[list[tuple[list[object], Part]], list[object]]:
    """The results that a tool's message holds as "tool_calls", as Agno writes them, and the rest.

    Returns:
        For each result, its outputs and the part for it, see `open_result`; and mere calls.
    """
    answers, calls = [], []
    given = item.get("tool_calls")
    for number, call in enumerate(given if isinstance(given, list | tuple) else ()):
        call = plain(call)
        opened = None
        if isinstance(call, Mapping):
            opened = open_result(call, base, f"{where}, tool call {number}")
        if opened is not None and any(opened[0]):
            answers.append(opened)
        else:
            calls.append(call)
    return answers, calls


def read_calls(
    item: Mapping[str, Any], known: set[object], base: Part, where: str
) -> Iterator[Part]:
    """Yield the tool calls of a message which are separate from its content.

    Args:
        item: The message.
        known: Ids of the calls in its content, which LangChain repeats here.
        base: The part for the message as a whole.
        where: Identifies the message in errors.
    """
    for number, call in enumerate(calls_beside(item, where)):
        where_call = f"{where}, tool call {number}"
        call = plain(call)
        body = None
        if isinstance(call, Mapping):
            body = call.get("function") or call.get("custom")
            if body is None and names_tool(call):
                if (id := call_id_of(call)) is None or id not in known:
                    yield read_call(call, base, where_call)
                continue
        if not isinstance(call, Mapping) or not isinstance(body, Mapping):
            raise InputError(
                f"{where_call}: expected {{'function': {{'name', ...}}}}, got {shown(call)}"
            )
        arguments = body.get("arguments", body.get("input"))
        yield call_part(body.get("name"), arguments, call.get("id"), base, where_call)


def read_results(
    item: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the results of tools that stand beside the content of a message."""
    for number, one in enumerate(results_beside(item)):
        where_result = f"{where}, tool result {number}"
        outputs, result = [one], as_result(base, None, None, where_result)
        if isinstance(one, Mapping):
            known, result = open_result(one, base, where_result)
            outputs = known or outputs
        yield from read_outputs(outputs, result, skipped, where_result)
