"""Training of the reranker."""
