"""Forgetting in two steps: first what would be deleted, then the receipt."""

from __future__ import annotations

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

    ``expected`` is how many the first step has shown; nothing is deleted without it.
    """

    ids: list[int] = Field(default_factory=list)
    expected: int | None = None


@router.post("/forget")
async def forget(asked: Annotated[ForgetForm, Form()], caller: PageCaller, _: SamePage) -> Response:
    """The first step without ``expected``, or if others are selected by now; then the second."""

    def work(memory: Memory) -> Response:
        chosen: dict[str, Any] = {"ids": asked.ids} if asked.ids else asked.given
        if not chosen:
            raise InputError("nothing is chosen: tick memories, or choose a user first")
        plan = memory.forget(**chosen, dry_run=True)
        if asked.expected == len(plan.ids) > 0:
            receipt = memory.forget(**chosen)
            return render("receipt.html", caller=caller, receipt=receipt)
        return render(
            "forget.html",
            caller=caller,
            plan=plan,
            chosen=_fields(chosen),
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
