"""Training of the reader, and the building of its training data."""
