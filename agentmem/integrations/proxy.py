"""`Proxy`: an object that stands for another one, for `agentmem.integrations.clients`."""

from __future__ import annotations

from typing import Any


class Proxy:
    """Stands for another object, also for ``isinstance``; its attributes are read and set there.

    What a subclass keeps for itself has a slot.
    """

    __slots__ = ("__weakref__", "_target")

    def __init__(self, target: Any) -> None:
        """Make one.

        Args:
            target: What it stands for.
        """
        self._target = target

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        # Also asked for by what copies an object, before it has any attribute.
        return getattr(object.__getattribute__(self, "_target"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            setattr(self._target, name, value)

    def __repr__(self) -> str:
        return repr(self._target)
