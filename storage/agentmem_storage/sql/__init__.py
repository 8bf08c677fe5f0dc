"""The rows of a store: the only truth."""
