"""ChatGPT's export: ``conversations.json``, in which each conversation is a tree of messages.

What is read is the branch that ends in the current node, as ChatGPT shows it. Messages that it does
not show are left out and counted, but for what the user has told about themselves for all
conversations, which stands hidden at the beginning of each and is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.ingest.importers.items import Imported, Item, Message, text_of, with_ids
from agentmem.ingest.shapes.exports import thread
from agentmem_storage.records import Scope

FORM = "ChatGPT export"
_HIDDEN = "is_visually_hidden_from_conversation"


def fits(value: object) -> bool:
    """Whether a JSON value is a conversation of ChatGPT."""
    return isinstance(value, Mapping) and isinstance(value.get("mapping"), Mapping)


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Conversations, each with its place in the file.

    Each is a session of its own, and its title is in the metadata of its messages.
    """
    skipped: Counter[str] = Counter()
    about: dict[str, Message] = {}
    items = [item for where, value in values for item in _items(where, value, about, skipped)]
    if about:
        told = Item("what the user told about themselves", with_ids(list(about.values())))
        items.insert(0, told)
    return Imported(FORM, tuple(items), dict(skipped))


def _items(
    where: str,
    conversation: Mapping[str, Any],
    about: dict[str, Message],
    skipped: Counter[str],
) -> Iterator[Item]:
    said = []
    branch = thread(
        conversation["mapping"],
        conversation.get("current_node"),
        conversation.get("create_time"),
        skipped,
    )
    for message in branch:
        given = message.get("metadata")
        extra = given if isinstance(given, Mapping) else {}
        content = message.get("content")
        if isinstance(content, list) and all(isinstance(one, str) for one in content):
            for text in content:  # see `agentmem.ingest.shapes.exports`
                # Every conversation has it; it was told before the first of them.
                times = [one.get("create_time") for one in (about.get(text, {}), message)]
                known = [one for one in times if isinstance(one, int | float)]
                began = {"create_time": min(known)} if known else {}
                about[text] = {"role": "user", "content": text, **began}
        elif extra.get(_HIDDEN) is True:
            skipped["hidden"] += 1
        else:
            model = text_of(extra.get("model_slug"))
            said.append({**message, "metadata": {"model": model} if model else {}})
    if said:
        id = text_of(conversation.get("conversation_id")) or text_of(conversation.get("id"))
        title = text_of(conversation.get("title"))
        named = f"{where} ({title!r:.80})" if title else where
        metadata = {"conversation": title} if title else {}
        yield Item(named, with_ids(said), Scope(session_id=id), metadata)
    else:
        skipped["empty conversation"] += 1
