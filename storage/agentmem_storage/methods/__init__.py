"""The methods of a store, in groups; `agentmem_storage.store.Store` has them all."""
