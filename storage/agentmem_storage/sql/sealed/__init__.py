"""The database of an encrypted store, whose rows lie sealed in its file."""
