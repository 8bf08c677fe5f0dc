"""The error of damaged data files."""

from __future__ import annotations


class DataError(ValueError):
    """A data file breaks a rule of the template language or of the frames."""
