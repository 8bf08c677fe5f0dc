"""Training of the embedder."""
