"""Reads the input of `add`: texts and standard input; files of messages are in `message_files`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from agentmem.errors import InputError
from agentmem_cli.options import ScopeIds

if TYPE_CHECKING:
    from agentmem.results import Receipt
    from agentmem.types import Document

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Defaults:
    """Attributes that the options give to everything that is added.

    Attributes:
        scope: The scope of messages without their own.
        created_at: The time of messages without their own.
        metadata: Added to everything; a message's own keys take precedence.
        expiry: When messages expire that do not say so themselves, as arguments of `Memory.add`.
    """

    scope: ScopeIds
    created_at: datetime | None
    metadata: Mapping[str, Any] | None
    expiry: Mapping[str, Any] = field(default_factory=dict)


def read_texts(
    texts: Sequence[str], role: str | None, name: str | None
) -> list[dict[str, Any] | Document]:
    """Texts as messages; standard input is a document, unless a role or name is given."""
    content: list[dict[str, Any] | Document] = []
    for text in texts:
        piped = text == STDIN
        if piped:
            text = _read_stdin()
        if piped and role is None and name is None:
            from agentmem.types import Document

            content.append(Document(text))
        else:
            speaker = {} if name is None else {"name": name}
            content.append({"role": role or "user", "content": text, **speaker})
    return content


def open_stdin() -> TextIO:
    """Standard input.

    Raises:
        InputError: it is closed, as by ``<&-`` or in some services.
    """
    # Python then has no `sys.stdin` at all, or one whose reading fails.
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed: give a text as an argument, or pipe one in")
    return sys.stdin


def _read_stdin() -> str:
    data = open_stdin().buffer.read()
    if not data:
        raise InputError("nothing to add: give a text, --file, or standard input")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not utf-8: {error.reason} at byte {error.start}; convert it"
        ) from error


def total(receipts: Sequence[Receipt]) -> Receipt:
    """Several receipts combined."""
    from agentmem.results import Receipt

    tokens = sum(receipt.tokens for receipt in receipts)
    right = sum(receipt.fidelity * receipt.tokens for receipt in receipts)
    skipped: Counter[str] = Counter()
    for receipt in receipts:
        skipped.update(receipt.skipped)
    return Receipt(
        ids=tuple(id for receipt in receipts for id in receipt.ids),
        sources=tuple(id for receipt in receipts for id in receipt.sources),
        duplicates=tuple(id for receipt in receipts for id in receipt.duplicates),
        replaced=tuple(id for receipt in receipts for id in receipt.replaced),
        skipped=dict(skipped),
        tokens=tokens,
        positions=sum(receipt.positions for receipt in receipts),
        fidelity=right / tokens if tokens else 1.0,
        latent_bytes=sum(receipt.latent_bytes for receipt in receipts),
        patch_bytes=sum(receipt.patch_bytes for receipt in receipts),
        stored_bytes=sum(receipt.stored_bytes for receipt in receipts),
        conflicts=tuple(one for receipt in receipts for one in receipt.conflicts),
    )
