"""Which scope a page shows, as its address and its forms say."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator

from agentmem.scopes import SCOPE_IDS

# A field of a form that is left empty is not given.
Word = Annotated[str | None, BeforeValidator(lambda text: None if text == "" else text)]


def _listed(text: str | None) -> str | None:
    """Names of ids, separated by commas."""
    if text and not set(text.split(",")) <= set(SCOPE_IDS):
        raise ValueError(f"none= is of {', '.join(SCOPE_IDS)}, separated by commas")
    return text


class PageScope(BaseModel):
    """The ids in an address; an id that is not there matches anything.

    Attributes:
        user_id: An id.
        agent_id: An id.
        session_id: An id.
        none: The names of those that a memory must not have, separated by commas: a session of
            nobody's is another one than a session of that id of each user.
    """

    user_id: Word = None
    agent_id: Word = None
    session_id: Word = None
    none: Annotated[Word, AfterValidator(_listed)] = None

    @property
    def given(self) -> dict[str, Any]:
        """The ids, as arguments of `Memory`."""
        ids = {name: getattr(self, name) for name in SCOPE_IDS}
        return {name: id for name, id in ids.items() if id is not None}

    @property
    def lacking(self) -> list[str]:
        """The names of those that a memory must not have."""
        return self.none.split(",") if self.none else []

    @property
    def selection(self) -> dict[str, Any]:
        """The ids and a filter, as arguments of `Memory`."""
        where = {name: {"exists": False} for name in self.lacking}
        return {**self.given, "where": where} if where else self.given

    @property
    def fields(self) -> dict[str, Any]:
        """All of it, as it stands in links and forms."""
        return {**self.given, "none": self.none} if self.none else self.given


def scope_fields(scope: Any) -> dict[str, Any]:
    """The fields of a link to what is of exactly one scope.

    Args:
        scope: A scope, or the use of one.
    """
    ids = {name: getattr(scope, name) for name in SCOPE_IDS}
    none = ",".join(name for name, id in ids.items() if id is None)
    return {**ids, "none": none or None}
