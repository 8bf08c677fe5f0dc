"""Stores in PostgreSQL: each is a schema of a database, which several machines may write to.

The statements are those of every store. They are written as SQLite has them, and compiled by
`agentmem_storage.sql.postgres.dialect`; what they call that PostgreSQL does not have is in the
store's schema.
"""
