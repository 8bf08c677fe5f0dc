"""Forgetting in two steps: first what would be deleted, then the receipt."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Form, Response
from pydantic import Field

from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.origin import SamePage
from agentmem.service.page.render import render
from agentmem.service.page.scope import PageScope

router = APIRouter(include_in_schema=False)

SHOWN = 10


class ForgetForm(PageScope):
    """What is to be forgotten: some memories, or all of a scope.

    ``expected`` is how many the first step has chosen, and ``seen`` a digest of their ids; nothing
    is deleted without the number, nor if others are chosen by now.
    """

    ids: list[int] = Field(default_factory=list)
    expected: int | None = None
    seen: str | None = None


@router.post("/forget")
async def forget(asked: Annotated[ForgetForm, Form()], caller: PageCaller, _: SamePage) -> Response:
    """The first step without ``expected``, or if others are selected by now; then the second."""

    def work(memory: Memory) -> Response:
        chosen: dict[str, Any] = {"ids": asked.ids} if asked.ids else asked.selection
        if not chosen:
            raise InputError("nothing is chosen: tick memories, or choose a user first")
        plan = memory.forget(**chosen, dry_run=True)
        seen = _digest(plan.ids)
        if asked.expected == len(plan.ids) > 0 and asked.seen in (None, seen):
            receipt = memory.forget(**chosen)
            return render("receipt.html", caller=caller, receipt=receipt)
        return render(
            "forget.html",
            caller=caller,
            plan=plan,
            seen=seen,
            chosen=_fields({"ids": asked.ids} if asked.ids else asked.fields),
            # Not of those in quarantine, which are in no result.
            shown=tuple(memory.list(where={"id": {"in": list(plan.ids[:SHOWN])}})),
            changed=asked.expected is not None,
        )

    return await caller.run(work)


def _fields(chosen: dict[str, Any]) -> list[tuple[str, Any]]:
    """The fields of a form that chooses the same again."""
    return [
        (name, one)
        for name, value in chosen.items()
        for one in (value if isinstance(value, list) else [value])
    ]


def _digest(ids: Sequence[int]) -> str:
    return sha256(" ".join(map(str, ids)).encode()).hexdigest()[:16]
