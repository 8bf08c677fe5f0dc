"""The cache of readers' states, in a database file of its own."""
