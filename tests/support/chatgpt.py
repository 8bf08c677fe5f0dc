"""Makes an export of ChatGPT, with the fields and the oddities that real ones have."""

from __future__ import annotations

import random
from typing import Any

ABOUT = "I am Ana, and I eat no meat."
_SUBJECTS = ("trains", "cheese", "violins", "taxes", "gardens", "tides", "bread", "moths")
_PLACES = ("Lyon", "Porto", "Oslo", "Graz", "Ghent", "Turin", "Bergen", "Riga")


def export(conversations: int, *, turns: int = 3, seed: int = 0) -> list[dict[str, Any]]:
    """The content of ``conversations.json``: each conversation has an abandoned branch, too."""
    return [
        _conversation(number, turns, random.Random(f"{seed}-{number}"))
        for number in range(conversations)
    ]


def shown(conversation: dict[str, Any]) -> list[str]:
    """The texts that ChatGPT shows of a conversation, in order."""
    nodes, found, at = conversation["mapping"], [], conversation["current_node"]
    while at is not None:
        message = nodes[at]["message"]
        at = nodes[at]["parent"]
        if message is None or message["metadata"].get("is_visually_hidden_from_conversation"):
            continue
        content = message["content"]
        found += [one for one in content.get("parts", ()) if isinstance(one, str) and one]
    return found[::-1]


def _conversation(number: int, turns: int, at: random.Random) -> dict[str, Any]:
    began = 1_700_000_000.0 + 86_400 * number
    hidden = {"is_visually_hidden_from_conversation": True}
    about = {
        "content_type": "user_editable_context",
        "user_profile": f"The user provided the following: {ABOUT}",
        "user_instructions": "Answer briefly.",
    }
    mapping: dict[str, Any] = {}

    def node(id: str, parent: str | None, message: dict[str, Any] | None) -> str:
        mapping[id] = {"id": id, "message": message, "parent": parent, "children": []}
        if parent is not None:
            mapping[parent]["children"].append(id)
        return id

    def say(role: str, content: Any, time: float | None, **more: Any) -> dict[str, Any]:
        extra = {"model_slug": "gpt-4o", "finish_details": {"type": "stop"}, "citations": []}
        if not isinstance(content, dict):
            content = {"content_type": "text", "parts": [content]}
        return {
            "id": f"{number:06d}-{len(mapping)}",
            "author": {"role": role, "name": None, "metadata": {}},
            "create_time": time,
            "update_time": None,
            "content": content,
            "status": "finished_successfully",
            "end_turn": None,
            "weight": 1.0,
            "metadata": {"request_id": f"r{at.random()}", **(extra if role != "user" else {})},
            "recipient": "all",
            "channel": None,
        } | more

    last = node(f"root-{number}", None, None)
    last = node(f"sys-{number}", last, say("system", "", None, metadata=hidden))
    last = node(f"about-{number}", last, say("user", about, None, metadata=hidden))
    subject = at.choice(_SUBJECTS)
    for turn in range(turns):
        time = began + 60 * turn
        question = f"What about {subject} in {at.choice(_PLACES)} {number}.{turn}?"
        asked = node(f"q-{number}-{turn}", last, say("user", question, time))
        node(f"x-{number}-{turn}", asked, say("assistant", "An answer that was regenerated.", time))
        if turn == 1:
            image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f"}
            parts = {"content_type": "multimodal_text", "parts": [image, f"This one {number}."]}
            asked = node(f"i-{number}", asked, say("user", parts, time + 1))
            thought = {"content_type": "thoughts", "thoughts": []}
            asked = node(f"t-{number}", asked, say("assistant", thought, time + 2))
        answer = f"There are {at.randrange(1000)} {subject}, as far as I know."
        last = node(f"a-{number}-{turn}", asked, say("assistant", answer, time + 5))
    id = f"00000000-0000-0000-0000-{number:012d}"
    return {
        "title": f"About {subject} {number}",
        "create_time": began,
        "update_time": began + 1000,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": last,
        "plugin_ids": None,
        "conversation_id": id,
        "conversation_template_id": None,
        "gizmo_id": None,
        "is_archived": False,
        "safe_urls": [],
        "default_model_slug": "gpt-4o",
        "id": id,
    }
