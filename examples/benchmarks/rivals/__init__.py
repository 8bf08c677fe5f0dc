"""Other memory systems, each as `agentmem.evaluation.sidebyside_system.System` wants one."""
