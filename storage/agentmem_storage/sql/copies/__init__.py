"""Copies of a store: backups, and archives that are written and loaded."""
