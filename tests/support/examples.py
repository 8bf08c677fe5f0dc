"""Fewer examples, for tests of which the usual number takes seconds."""

from __future__ import annotations

from hypothesis import settings

# Of whatever profile is in force: `thorough` still tries many.
HALF = settings(max_examples=settings().max_examples // 2)
