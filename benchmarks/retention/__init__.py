"""Retention study: how much of a chunk a frozen encoder's embedding retains."""
