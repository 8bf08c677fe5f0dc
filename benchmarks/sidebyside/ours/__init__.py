"""agentmem as systems that are measured side by side: its own keys, or those of another encoder."""
