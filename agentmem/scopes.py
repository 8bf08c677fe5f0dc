"""Scope ids as arguments: what a call gives, what a handle is bound to, and what must be given.

On reading, an id is a string, `ANY`, or not given. None is refused there: it is usually a user id
that is missing by mistake, and would silently select the memories of everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

from agentmem.errors import InputError
from agentmem.ingest.checks import check_unicode
from agentmem_storage.records import UNSET, Scope, Unset
from agentmem_storage.text import is_blank, shown

SCOPE_IDS = ("user_id", "agent_id", "session_id")


class AnyId(Enum):
    """The type of `ANY`."""

    ANY = "ANY"

    def __repr__(self) -> str:
        return "agentmem.ANY"


ANY: Final = AnyId.ANY
"""As a scope id on reading: every user, agent or session, as an explicit wish."""

# A scope id on reading; UNSET, the default, means "not given".
ReadId: TypeAlias = str | AnyId | Unset
# A scope id on writing; None, the default, means "unspecified".
WriteId: TypeAlias = str | None


@dataclass(frozen=True, slots=True)
class Binding:
    """What a handle is bound to.

    Attributes:
        scope: Ids that every call of the handle has, and that none can change.
        required: Names of the ids that every call must have.
    """

    scope: Scope = Scope()
    required: tuple[str, ...] = ()

    def reading(
        self,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Scope:
        """The scope that a call reads; ids that are not given match anything, unless required.

        Raises:
            InputError: An id is None or empty, contradicts the binding, or is required and not
                given.
        """
        ids: dict[str, ReadId] = {
            "user_id": user_id,
            "agent_id": agent_id,
            "session_id": session_id,
        }
        return Scope(**{name: self._read(name, given) for name, given in ids.items()})

    def writing(self, user_id: WriteId, agent_id: WriteId, session_id: WriteId) -> Scope:
        """The scope that a call writes to; ids that are not given are unspecified.

        Whether all required ids are given is not checked here, because the messages may have
        their own; see `check_required`.

        Raises:
            InputError: An id is empty, contradicts the binding, or is `ANY`.
        """
        ids = {"user_id": user_id, "agent_id": agent_id, "session_id": session_id}
        return Scope(**{name: self._written(name, given) for name, given in ids.items()})

    def conversing(self, user_id: ReadId, agent_id: ReadId, session_id: ReadId) -> Scope:
        """The scope of a conversation, in which it is stored.

        Raises:
            InputError: An id is None, empty, `ANY`, contradicts the binding, or is required and not
                given.
        """
        if any(one is ANY for one in (user_id, agent_id, session_id)):
            raise InputError(f"a session belongs to somebody: leave out what is not {ANY!r}")
        scope = self.reading(user_id, agent_id, session_id)
        self.check_required(scope)
        return scope

    def check_required(self, scope: Scope) -> None:
        """Check the scope of something that is to be written.

        Raises:
            InputError: It lacks a required id.
        """
        for name in self.required:
            if getattr(scope, name) is None:
                raise self._missing(name, "")

    def check_bound(self, verb: str) -> None:
        """Check that a handle has all required ids, since what it is given to cannot name them.

        Raises:
            InputError: it lacks one.
        """
        for name in self.required:
            if getattr(self.scope, name) is None:
                raise InputError(
                    f"this memory was opened with require={self.required!r}: "
                    f"call {verb}() on scoped({name}=...)"
                )

    def admit(self, scope: Scope) -> None:
        """Check the scope of something that says itself whose it is, and is to be written.

        Raises:
            InputError: It contradicts the binding, or lacks a required id.
        """
        for name in SCOPE_IDS:
            bound, given = getattr(self.scope, name), getattr(scope, name)
            if bound is not None and given != bound:
                raise InputError(
                    f"this handle is bound to {name}={shown(bound)}, and there are memories of "
                    f"{shown(given)}"
                )
        self.check_required(scope)

    def narrowed(self, user_id: ReadId, agent_id: ReadId, session_id: ReadId) -> Binding:
        """A binding with further ids.

        Raises:
            InputError: None is given, or one that is None, `ANY`, or contradicts this binding.
        """
        if any(one is ANY for one in (user_id, agent_id, session_id)):
            raise InputError(f"scoped() binds an id: leave out what may be {ANY!r}")
        scope = replace(self, required=()).reading(user_id, agent_id, session_id)
        if scope == self.scope:
            raise InputError("scoped() needs a scope id that is not bound yet")
        return replace(self, scope=scope)

    def __str__(self) -> str:
        """The bound ids, as in the ``repr`` of a handle: ``user_id='ana', agent_id='support'``."""
        ids = {name: getattr(self.scope, name) for name in SCOPE_IDS}
        return ", ".join(f"{name}={id!r}" for name, id in ids.items() if id is not None)

    def _read(self, name: str, given: ReadId) -> str | None:
        bound: str | None = getattr(self.scope, name)
        if given is None:
            raise InputError(
                f"{name} is None, which could mean every {_noun(name)} by mistake: pass an id, or "
                f"{ANY!r} to search every {_noun(name)}"
            )
        if given is ANY:
            if bound is not None:
                raise InputError(f"this handle is bound to {name}={bound!r}, not {ANY!r}")
            return None
        if isinstance(given, Unset):
            if bound is None and name in self.required:
                raise self._missing(name, f", or {ANY!r} to search every {_noun(name)}")
            return bound
        return _checked(name, given, bound, f"pass an id, or {ANY!r} to search every {_noun(name)}")

    def _written(self, name: str, given: WriteId) -> str | None:
        if isinstance(given, AnyId):
            raise InputError(f"{ANY!r} is for reading: what is added has one {name}, or none")
        bound: str | None = getattr(self.scope, name)
        if given is None:
            return bound
        return _checked(name, given, bound, "omit it to leave it unspecified")

    def _missing(self, name: str, otherwise: str) -> InputError:
        return InputError(
            f"this memory was opened with require={self.required!r}: give {name}={otherwise}"
        )


def check_require(names: Sequence[str]) -> tuple[str, ...]:
    """The names of required scope ids.

    Raises:
        InputError: They are not a list or tuple of names of scope ids.
    """
    if not isinstance(names, list | tuple) or any(name not in SCOPE_IDS for name in names):
        raise InputError(
            f"require= takes a tuple of {', '.join(map(repr, SCOPE_IDS))}, got {shown(names)}"
        )
    return tuple(names)


def _checked(name: str, given: str, bound: str | None, instead: str) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{name} must be a string, not {shown(given)}")
    if is_blank(given):
        raise InputError(f"{name} must not be empty or blank: {instead}")
    check_unicode(given, name)
    if bound is not None and given != bound:
        raise InputError(f"this handle is bound to {name}={shown(bound)}, not {shown(given)}")
    return given


def _noun(name: str) -> str:
    return name.removesuffix("_id")
