"""Scale benchmark: what searching and keeping memories costs as a store grows.

The vector index by itself, with embeddings of real turns and many more that lie among them; and
whole stores, of real turns repeated for further users.
"""
