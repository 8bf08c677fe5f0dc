"""Encoders whose vectors find chunks: the built-in one, or any of sentence-transformers."""
