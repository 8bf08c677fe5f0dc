"""Events of streams: those that carry a complete message or transcript, and mere fragments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Keys of what an event or a line of a log wraps.
_WRAPPERS = ("message", "payload", "item", "response")
# The ends of the types of events that carry what was spoken -> who spoke.
_TRANSCRIPTS = {
    "input_audio_transcription.completed": "user",
    "audio_transcript.done": "assistant",
}
# The ends of the types of events that carry a piece of a message, which a later event repeats as a
# whole, with its time.
_PIECES = (
    *("delta", "content_block_start", "content_part.done", "refusal.done", "arguments.done"),
    *("response.text.done", "output_text.done", "_call_code.done", "_call_input.done"),
    *("_call_command.added", "_call_command.done", "_call_output_content.done"),
    "transcription.segment",
)


def check_complete(item: Mapping[str, Any], where: str) -> None:
    """Refuse a fragment of a message, whose rest stands in other events.

    Raises:
        InputError: it is one.
    """
    kind, choices = item.get("type"), item.get("choices")
    first = choices[0] if isinstance(choices, list | tuple) and choices else None
    named = isinstance(kind, str) and kind.endswith(_PIECES)
    if named or (isinstance(first, Mapping) and "delta" in first and "message" not in first):
        what = kind if named else item.get("object", "delta")
        raise InputError(
            f"{where} is a fragment of a stream ({shown(what)}): add the complete message, which "
            f"the last events or the SDK's final object have"
        )


def _holds_item(key: str, kind: object) -> bool:
    """Whether what an event wraps is an item without a role, such as a call in a log of Codex's."""
    return isinstance(kind, str) and (
        key == "item" or (key == "payload" and kind.endswith("_call"))
    )


def is_error(kind: str) -> bool:
    """Whether an event says that something failed, which nobody said in the conversation."""
    return kind == "error" or kind.endswith((".error", ".failed"))


def unwrapped(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message in an event or in a line of a log; None if there is none."""
    for key in _WRAPPERS:
        inner = item.get(key)
        if isinstance(inner, Mapping):
            typed = _holds_item(key, inner.get("type"))
            if typed or "role" in inner or "output" in inner:
                return inner
    kind, said = item["type"], item.get("transcript")
    role = next((role for end, role in _TRANSCRIPTS.items() if kind.endswith(end)), None)
    if role is not None and isinstance(said, str):
        return {"role": role, "content": said, "id": item.get("item_id")}
    return None
