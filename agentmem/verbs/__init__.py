"""The verbs of `agentmem.Memory`, grouped: they validate arguments and delegate."""
