"""Encryption of a store at rest: a master key wraps a data key for each scope.

``encrypted.db`` has the rows of a store, each sealed by itself with AES-256-GCM under the data key
of its scope, and bound to its table, its id and its key. ``keys.db``, the key ring, has the data
keys, wrapped by the master key, which is in neither. Destroying a key in the ring makes what it
sealed unreadable, in every copy of ``encrypted.db`` too.

Nothing is searched in encrypted form: `agentmem_storage.sql.sealed.encrypted` keeps the tables in
memory while the store is open.
"""
