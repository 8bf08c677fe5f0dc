"""The database of a store: where it lies, and how it is opened, locked, migrated and recognized."""
