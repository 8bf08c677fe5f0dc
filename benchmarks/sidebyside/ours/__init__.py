"""agentmem as measured systems: with its own embedder, and with another."""
