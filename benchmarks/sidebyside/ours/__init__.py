"""agentmem as measured systems."""
