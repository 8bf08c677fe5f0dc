"""A reranker that scores stored latents against the query without decoding them."""
