"""Statements that write, each in a transaction with the write lock."""
