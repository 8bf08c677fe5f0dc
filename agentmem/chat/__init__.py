"""Conversations with a memory: what a line asks, and what may answer it."""
