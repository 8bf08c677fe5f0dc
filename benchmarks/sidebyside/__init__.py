"""Side-by-side comparison of agentmem with other memory systems, on the same questions."""
