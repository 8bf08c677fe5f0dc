"""Messages in the forms that `agentmem.ingest.shapes` reads, and conversations of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, Message, by_scope
from agentmem.ingest.shapes.envelopes import open_envelope
from agentmem_storage.records import Scope
from agentmem_storage.text import shown

FORM = "messages"


def read(path: Path, values: Sequence[tuple[str, object]]) -> Imported:
    """Messages; those of one scope together, in order.

    Of several conversations, such as lines with "messages" each, each is a session of its own.

    Raises:
        InputError: something is not a message.
    """
    alone: list[Message] = []
    together: list[list[Item]] = []
    skipped: Counter[str] = Counter()
    for where, value in values:
        if not isinstance(value, Mapping):
            raise InputError(f"{where} is not a JSON object: {shown(value)}")
        try:
            found = [message for _, message in open_envelope(value, "the message", skipped)]
            if len(found) == 1 and found[0] is value:
                alone.append(value)
            else:
                together.append(list(by_scope(where, found)))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    items = list(by_scope(str(path), alone))
    for number, conversation in enumerate(together, start=1):
        for item in conversation:
            if len(together) > 1 and item.scope.session_id is None:
                session = f"{path.stem}-{number}"
                scope = Scope(item.scope.user_id, item.scope.agent_id, session)
                item = replace(item, scope=scope)
            items.append(item)
    return Imported(FORM, tuple(items), dict(skipped))
