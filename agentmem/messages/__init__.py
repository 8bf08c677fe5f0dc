"""Messages and documents in any of the usual forms -> the texts that are to be stored."""

from __future__ import annotations

from agentmem.messages.checks import MAX_CHARS
from agentmem.messages.parts import Normalised, normalise

__all__ = ["MAX_CHARS", "Normalised", "normalise"]
