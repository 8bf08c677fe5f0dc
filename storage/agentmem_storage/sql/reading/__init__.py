"""Queries: transactions that only read."""
