"""External ids: the caller's own names for what is added, of which a scope has one each.

The id in a message of an API is not one of these. Whoever made it does not promise that it names a
single content: the lines of a transcript that share one are blocks of one message, and a message
that is still being written has the same as before. So it tells replays, and replaces nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentmem.ingest.checks import check_unicode
from agentmem.types import Part
from agentmem_storage.errors import InputError
from agentmem_storage.records import Scope
from agentmem_storage.text import is_blank, shown


def check_external_id(value: object, where: str) -> str | None:
    """Return an external id; None stays None.

    Raises:
        InputError: It is no string, blank, not valid Unicode, or has a NUL character.
    """
    if value is None:
        return None
    if not isinstance(value, str) or is_blank(value):
        raise InputError(
            f"{where}: an external id is a non-blank string, such as 'note-17' or str(17), got "
            f"{shown(value)}"
        )
    if "\0" in value:
        raise InputError(f"{where}: the external id {shown(value)} has a NUL character")
    return check_unicode(value, f"{where}: the external id")


def check_single(parts: Sequence[Part], where: str) -> None:
    """Check that a message with an external id is one text.

    Raises:
        InputError: It has several, as with calls of tools beside its text.
    """
    if len(parts) > 1 and (external_id := parts[0].external_id) is not None:
        raise InputError(
            f"{where}: the external id {shown(external_id)} is for one text, and this has "
            f"{len(parts)}: add them as messages of their own, each with its id, or without ids"
        )


def name_content(messages: list[list[Part]], external_id: object) -> list[list[Part]]:
    """The parts of messages, with the external id that is given for all of the content.

    Raises:
        InputError: It is no id, or another than the message's own; it is given for several texts;
            or an id stands twice in one scope.
    """
    given = check_external_id(external_id, "id")
    if given is not None:
        parts = [part for message in messages for part in message]
        if len(parts) > 1:
            raise InputError(
                f"id={shown(given)} is for one text, and the content has {len(parts)}: give each "
                f"its own, as 'external_id' of a dict, a Message or a Document"
            )
        for part in parts:
            if part.external_id not in (None, given):
                raise InputError(
                    f"the external id of the message is {shown(part.external_id)}, but id="
                    f"{shown(given)} was given: leave out one of the two"
                )
        messages = [[replace(part, external_id=given)] for part in parts]
    seen: set[tuple[Scope, str]] = set()
    for part in (part for message in messages for part in message):
        if part.external_id is None:
            continue
        if (part.scope, part.external_id) in seen:
            raise InputError(
                f"the external id {shown(part.external_id)} stands twice in one call: leave out "
                f"the one that does not count any more"
            )
        seen.add((part.scope, part.external_id))
    return messages
