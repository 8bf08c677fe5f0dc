"""The integrity check of a store, and its repair."""
