"""Durable rows and a rebuildable vector index: numpy and SQL, never a tensor.

Start at `agentmem_storage.store.Store`, which lists the files that its methods are in;
`agentmem_storage.records` holds what goes in and comes out, `agentmem_storage.errors` what may be
raised. Nothing is imported here, so that a program which needs only the errors does not pay for
SQL.
"""
