"""What a chat model of LangChain's returns below its messages: generations, and lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SINGLE = ("Generation", "GenerationChunk", "ChatGeneration", "ChatGenerationChunk")
_RESULTS = ("LLMResult", "ChatResult")


def is_generated(name: str) -> bool:
    """Whether a class of this name holds messages of a model."""
    return name in (*_SINGLE, *_RESULTS)


def generated(item: Mapping[str, Any]) -> list[Any] | None:
    """The messages in a result; None if the dict is none. Several are alternatives."""
    if item.get("type") in _SINGLE:
        return [_message(item)]
    held = item.get("generations")
    if not isinstance(held, list | tuple) or item.get("type") not in (*_RESULTS, None):
        return None
    found = list(_flat(held))
    if not found or not all(isinstance(one, Mapping) and _is_single(one) for one in found):
        return None
    return [_message(one) for one in found]


def _is_single(value: Mapping[str, Any]) -> bool:
    return value.get("type") in _SINGLE or isinstance(value.get("message"), Mapping)


def _flat(held: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
    """Yield the generations, which stand in a list for each prompt."""
    for one in held:
        if isinstance(one, list | tuple):
            yield from one
        else:
            yield one


def _message(generation: Mapping[str, Any]) -> object:
    """Its message; of a model that only completes, its text."""
    message = generation.get("message")
    if isinstance(message, Mapping):
        return message
    return {"role": "assistant", "content": generation.get("text")}
