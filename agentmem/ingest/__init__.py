"""From what callers add to rows that are ready to be written; nothing here reads a store."""
