"""What contains messages: SDK objects, API responses, exports, and the wrappers of LangChain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from agentmem.ingest.checks import check_metadata
from agentmem.ingest.scope import SPELLINGS
from agentmem.ingest.shapes.answers import text_answers
from agentmem.ingest.shapes.autogen import SILENT, as_message
from agentmem.ingest.shapes.batches import batch_answer
from agentmem.ingest.shapes.exports import said_in_claude, thread
from agentmem.ingest.shapes.fields import ROLES, find_time
from agentmem.ingest.shapes.generations import generated, is_generated
from agentmem.ingest.shapes.intercom import intercom_messages
from agentmem.ingest.shapes.mcp import mcp_result
from agentmem.ingest.shapes.plain import plain_text
from agentmem.ingest.shapes.runs import dataclass_dict, is_run_message, run_messages
from agentmem.ingest.shapes.sharegpt import are_turns, as_turn
from agentmem.ingest.shapes.streams import check_complete, unwrapped
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Keys of a list of messages, without a role beside it.
_LISTS = ("messages", "contents", "input")
# Keys of instructions beside such a list, in requests of Anthropic, Google and OpenAI.
_SYSTEMS = ("system", "systemInstruction", "system_instruction", "instructions")
# Keys of a text in place of such a list, beside an answer.
_PROMPTS = ("input", "prompt")
# Keys of a text that asks, too; how they belong together, a log does not say.
_ASKING = ("instruction", "question", "context", "text", "content")
# Keys of a list of alternatives -> the key of the message in each.
_CHOICES = {"choices": "message", "candidates": "content"}
# Keys of what has such a list in it: of logs, of batches, and of snapshots of a graph's state.
_HOLDERS = ("request", "body", "values", "channel_values")
_HISTORIES = ("chat_history", "history")
# Keys of an API's answer.
_ANSWERS = {*_CHOICES, "output"}
# An item with the role of a developer, who says nothing in it.
_TOOLS = "additional_tools"
_MAX_DEPTH = 8


def plain(item: object) -> object:
    """An SDK's message object as a dict; anything else as it is."""
    dump = getattr(item, "model_dump", None)
    if isinstance(item, Mapping | type):
        return item
    if not callable(dump):
        return dataclass_dict(item) if is_run_message(item) else item
    # Parsed answers of SDKs hold objects that their own classes do not declare.
    quiet = {"warnings": False} if isinstance(item, BaseModel) else {}
    # And LangChain's hold messages as the class that all messages share, which has no calls.
    whole = {"serialize_as_any": True} if is_generated(type(item).__name__) else {}
    return dump(mode="json", **quiet, **whole)


def plain_blocks(content: object) -> object:
    """A content whose blocks are dicts; in a message that goes on they may be an SDK's objects."""
    return [plain(one) for one in content] if isinstance(content, list | tuple) else content


def paired(item: object, *, listed: bool = False) -> object:
    """LangChain's pair of a role and a content as a dict; anything else as it is.

    Args:
        item: What was added.
        listed: Whether it stands in a list, where a pair is never a list of two messages.
    """
    if not isinstance(item, list | tuple) or len(item) != 2:
        return item
    role, content = item
    if not isinstance(role, str) or not isinstance(content, str | list | tuple):
        return item
    if listed or (isinstance(item, tuple) and role in ROLES):
        return {"role": role, "content": content}
    return item


def open_envelope(
    item: Mapping[str, Any], where: str, skipped: Counter[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the messages in a dict, each with its name in errors; a message yields itself.

    A message without a time or scope of its own has those of the envelope it is in, and the
    envelope's metadata under its own. The metadata of an API's answer are tags of the request, and
    not the message's.

    Raises:
        InputError: what should be a message is none, or envelopes are nested too deeply.
    """
    yield from _open(item, where, _MAX_DEPTH, skipped)


def _open(
    item: Mapping[str, Any], where: str, depth: int, skipped: Counter[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not depth:
        raise InputError(f"{where}: messages are nested too deeply")
    check_complete(item, where)
    if item.get("type") == _TOOLS:
        skipped[_TOOLS] += 1
        return
    inside = _unwrapped(item, where, skipped)
    if inside is None:
        yield where, item
        return
    for number, one in enumerate(inside):
        each = f"{where}, message {number}" if len(inside) > 1 else where
        one = plain(one)
        if not isinstance(one, Mapping):
            raise InputError(f"{each}: a message must be a dict, got {shown(one)}")
        shared = _shared(item, one, where)
        yield from _open({**one, **shared} if shared else one, each, depth - 1, skipped)


def _shared(item: Mapping[str, Any], message: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What an envelope says for a message in it: whose it is, when it was made, and metadata.

    Raises:
        InputError: the metadata cannot be stored.
    """
    shared: dict[str, Any] = {}
    for spellings in SPELLINGS.items():
        if all(message.get(key) is None for key in spellings):
            shared.update({key: item[key] for key in spellings if item.get(key) is not None})
    if find_time(message) is None and (time := find_time(item)) is not None:
        shared["date"] = time
    if _ANSWERS.isdisjoint(item) and (given := check_metadata(item.get("metadata"), where)):
        own = message.get("metadata")
        if own is None or isinstance(own, Mapping):
            shared["metadata"] = {**given, **(own or {})}
    return shared


def _unwrapped(item: Mapping[str, Any], where: str, skipped: Counter[str]) -> list[Any] | None:
    """What is inside an envelope; None if the dict is none.

    Raises:
        InputError: it is a message and an envelope of others.
    """
    if "role" in item:
        _check_single(item, where)
        return None
    if are_turns([item]):
        return [as_turn(item, where)]
    for read in (batch_answer, run_messages, mcp_result, intercom_messages):
        if (inside := read(item, skipped)) is not None:
            return inside
    answer = _answer(item) or generated(item)
    if (asked := _asked(item)) is not None:
        response = plain(item.get("response"))
        if answer is None and isinstance(response, Mapping):
            answer = _answer(response)
        if answer is None:
            answer = text_answers(item)
        return [*asked, *_unsaid(answer or [], asked)]
    said = [one for key in _PROMPTS if _is_text(one := item.get(key))]
    if answer is None and said and "type" not in item and item.keys().isdisjoint(_ASKING):
        answer = text_answers(item)
    if answer is not None:
        asks = ({"role": "user", "content": one} for one in said)
        return [*_before(item), *asks, *answer]
    if isinstance(item.get("type"), str):
        return _typed(item, where, skipped)
    if isinstance(item.get("mapping"), Mapping):
        current, began = item.get("current_node"), item.get("create_time")
        return thread(item["mapping"], current, began, skipped)
    return None


def _typed(item: Mapping[str, Any], where: str, skipped: Counter[str]) -> list[Any] | None:
    """What is inside an envelope that says what it is by its type; None if it is none."""
    if item["type"] in SILENT or _is_removal(item):
        skipped[item["type"]] += 1
        return []
    if (of_autogen := as_message(item, where)) is not None:
        return [of_autogen]
    if (inside := _langchain(item)) is None and (message := unwrapped(item)) is not None:
        inside = [message]
    return inside


def _asked(item: Mapping[str, Any]) -> list[Any] | None:
    """The list of messages in a dict; None if it has none."""
    for key in sorted(_LISTS, key=lambda key: not item.get(key)):
        # A block with a type has an input of its own.
        if isinstance(item.get(key), list | tuple) and not (key == "input" and "type" in item):
            return [*_instructions(item), *item[key]]
    if isinstance(given := item.get("chat_messages"), list | tuple):
        return [said_in_claude(plain(one)) for one in given]
    if item.get("object") == "list" and isinstance(item.get("data"), list | tuple):
        return list(item["data"])
    if are_turns(turns := item.get("conversations")):
        return list(turns)
    for key in ("request",) if "type" in item else _HOLDERS:
        if (
            isinstance(held := plain(item.get(key)), Mapping)
            and (asked := _asked(held)) is not None
        ):
            return asked
    return None


def _answer(item: Mapping[str, Any]) -> list[Any] | None:
    """The messages of an API's answer; None if there is none.

    It is the dict itself, or stands in one that has the request, too, as logs write it.
    """
    for key, inner in _CHOICES.items():
        if isinstance(item.get(key), list | tuple):
            return [_chosen(choice, inner) for choice in item[key]]
    if isinstance(item.get("type"), str):
        return None
    if isinstance(given := item.get("output"), list | tuple) and all(map(_is_item, given)):
        return list(given)
    output = item.get("output")
    for one in (item.get("message"), _field(output, "message")):
        if isinstance(one, Mapping):
            return [one]
    return [output] if isinstance(output, Mapping) and "role" in output else None


def _before(item: Mapping[str, Any]) -> list[Any]:
    """The messages before a prompt and its answer, as LangChain's agents return them beside it."""
    for key in _HISTORIES:
        given = item.get(key)
        if isinstance(given, list | tuple) and given and all(map(_is_item, given)):
            return list(given)
    return []


def _unsaid(answer: list[Any], asked: list[Any]) -> list[Any]:
    """An answer, unless the list of messages ends with it already."""
    told = [_told(one) for one in answer]
    return [] if told == [_told(one) for one in asked[-len(told) :]] else answer


def _told(message: object) -> tuple[object, str]:
    message = plain(message)
    if not isinstance(message, Mapping):
        return None, ""
    role = message.get("role")
    text = plain_text([message.get(key) for key in ("content", "parts", "tool_calls")])
    return ROLES.get(role) if isinstance(role, str) else None, text


def _is_item(one: object) -> bool:
    """Whether something is a message or an item of the Responses API, by its form."""
    one = plain(one)
    return isinstance(one, Mapping) and ("role" in one or "type" in one)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_single(message: Mapping[str, Any], where: str) -> None:
    """Refuse a message that holds other messages: which were said first, it does not tell."""
    for key in _LISTS:
        given = message.get(key)
        for one in given if isinstance(given, list | tuple) else ():
            one = plain(one)
            if isinstance(one, Mapping) and one.get("role") is not None:
                raise InputError(
                    f"{where}: it is a message, by its 'role', and holds others in {key!r}; give "
                    "them one after the other, in the order in which they were said"
                )


def _chosen(choice: object, key: str) -> object:
    """The message of an alternative; an empty one if it was blocked."""
    if not isinstance(choice, Mapping):
        return choice
    message = plain(choice.get(key))
    if message is None:
        return {"role": "assistant", "content": choice.get("text")}
    if isinstance(message, Mapping) and message.get("role") is None:
        return {**message, "role": "assistant"}
    return message


def _instructions(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the instructions beside a list of messages, as a message."""
    for key in _SYSTEMS:
        given = plain(item.get(key))
        if isinstance(given, Mapping):
            yield {**given, "role": "system"}
        elif given:
            yield {"role": "system", "content": given}


def _langchain(item: Mapping[str, Any]) -> list[Any] | None:
    """The message in one of LangChain's two forms for storing it."""
    if item["type"] == "constructor" and isinstance(item.get("kwargs"), Mapping):
        return [{"type": _type_of_class(item.get("id")), **item["kwargs"]}]
    if isinstance(item.get("data"), Mapping) and "content" in item["data"]:
        return [{"type": item["type"], **item["data"]}]
    return generated(item)


def _is_removal(item: Mapping[str, Any]) -> bool:
    """Whether it is LangChain's instruction to remove a message, which has no text."""
    return item.get("type") == "remove" and not item.get("content")


def _field(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, Mapping) else None


def _type_of_class(path: object) -> str:
    """The type of a LangChain message from its path, such as [..., "HumanMessage"]."""
    name = str(path[-1]) if isinstance(path, list | tuple) and path else ""
    return name.removesuffix("Chunk").removesuffix("Message").lower()
