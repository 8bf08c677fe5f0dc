"""Embedders for vector search: the built-in one, and any sentence-transformers model."""
