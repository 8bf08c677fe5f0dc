"""Which scope a page shows, as its address and its forms say."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from agentmem.scopes import SCOPE_IDS

# A field of a form that is left empty is not given.
Word = Annotated[str | None, BeforeValidator(lambda text: None if text == "" else text)]


class PageScope(BaseModel):
    """The ids in an address; an id that is not there matches anything."""

    user_id: Word = None
    agent_id: Word = None
    session_id: Word = None

    @property
    def given(self) -> dict[str, Any]:
        """The ids, as arguments of `Memory` and of links."""
        ids = {name: getattr(self, name) for name in SCOPE_IDS}
        return {name: id for name, id in ids.items() if id is not None}
