"""Hits as prompt text: the one place where recalled text becomes part of a prompt.

A block looks like this::

    <memories-5f1c02>
    [2026-05-03] Ana: We had grilled sardines for lunch.
    [2026-05-04] notes.md: First line of a document
      and its second line.
    </memories-5f1c02>

Recalled text is data that somebody wrote, perhaps to be taken for something else. So every hit
begins a line with its date and speaker, everything else on it is indented and escaped (see
`agentmem.context.escape`), and the tag has a nonce that occurs nowhere in the block: no memory can
name it, because it is derived from all that is in the block. The same hits give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count

from agentmem.context.escape import inert, name, skeleton, unforged
from agentmem.context.hits import Hit
from agentmem_storage.timestamps import said_on

# Enough that a guess is hopeless; that no memory contains it is checked, not left to chance.
NONCE_DIGITS = 6
_TAG = "memories"
_DIGITS = rf"([0-9a-f]{{{NONCE_DIGITS}}})"
_TAGS = re.compile(rf"<{_TAG}-{_DIGITS}>\n|\n</{_TAG}-{_DIGITS}>")


def line(hit: Hit) -> str:
    """A hit with its date and speaker; further lines of its text are indented."""
    return f"[{said_on(hit.created_at):%Y-%m-%d}] {_speaker(hit)}: {inert(hit.text)}"


def numbered_line(hit: Hit) -> str:
    """Like `line`, with the hit's id before it, so that an answer can cite it."""
    return f"[#{hit.id}] {line(hit)}"


def lines(hits: Sequence[Hit]) -> str:
    """One `line` per hit, in the given order; "" if there are none."""
    return "\n".join(line(hit) for hit in hits)


def block(body: Sequence[str]) -> str:
    """Lines of hits between tags; "" if there are none."""
    if not body:
        return ""
    text = "\n".join(body)
    tag = f"{_TAG}-{_nonce(text)}"
    return f"<{tag}>\n{text}\n</{tag}>"


def split_blocks(text: str) -> tuple[str, list[str]]:
    """A text without the blocks of memories in it, and what stood between their tags.

    Only what `block` made counts: the nonce of a tag that somebody wrote does not fit its text, and
    there is no tag between two that belong together.
    """
    kept: list[str] = []
    bodies: list[str] = []
    end = 0
    opening: re.Match[str] | None = None
    for tag in _TAGS.finditer(text):
        if tag[1] is not None:
            opening = tag
            continue
        body = "" if opening is None else text[opening.end() : tag.start()]
        if opening is not None and opening[1] == tag[2] == _nonce(body):
            kept.append(text[end : opening.start()])
            bodies.append(body)
            end = tag.end()
        opening = None
    if not bodies:
        return text, []
    return "".join([*kept, text[end:]]).strip(), bodies


def frame_tokens(count_tokens: Callable[[str], int]) -> int:
    """What a block takes beside its lines, at most: a tokenizer may take each digit by itself."""
    return sum(map(count_tokens, (f"<{_TAG}-", ">\n", f"</{_TAG}-", ">"))) + 2 * NONCE_DIGITS


def reader_line(hit: Hit) -> str:
    """A hit for `agentmem.chat.reader.MemoryReader`, in the form that readers are trained with.

    What is ordinary text stays as it is, line breaks included: a reader sees tokens, among which
    nothing is special.
    """
    from agentmem.models.reader.prompt import memory_line

    who = name(hit.name or hit.source.title or (hit.role or "").capitalize(), hit.role)
    return memory_line(unforged(hit.text), who=who, day=said_on(hit.created_at))


def _speaker(hit: Hit) -> str:
    return name(hit.speaker, hit.role) or hit.role or hit.source.kind


def _nonce(text: str) -> str:
    """The first digest of a text, in hexadecimal, that does not occur in it, however spelled."""
    encoded, bare = text.encode("utf-8"), skeleton(text)[0]
    digests = (sha256(b"%d\n%s" % (attempt, encoded)).hexdigest() for attempt in count())
    return next(one[:NONCE_DIGITS] for one in digests if one[:NONCE_DIGITS] not in bare)
