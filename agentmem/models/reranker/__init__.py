"""A reranker that reads stored latents: which of a hundred candidates answers the question."""
