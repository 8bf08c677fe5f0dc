"""Soak benchmark: many conversations at once on one store, through `AsyncMemory`, for long."""
