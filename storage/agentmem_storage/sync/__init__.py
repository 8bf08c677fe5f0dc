"""Keeps the vector index of a store in sync with its rows: an index in this process, or Milvus."""
