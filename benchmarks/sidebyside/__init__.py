"""agentmem beside other memory systems, on the same questions."""
