"""A reranker that reads stored latents: which of many candidates answers the question."""
