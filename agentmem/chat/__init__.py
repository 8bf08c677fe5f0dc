"""Conversations with a memory: which messages are questions, and what may answer them."""
