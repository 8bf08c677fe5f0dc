"""The error of damaged data files."""

from __future__ import annotations

from agentmem.errors import ConfigError


class DataError(ConfigError):
    """A data file breaks a rule of the template language or of the frames."""
