"""Other memory systems, each as `benchmarks.sidebyside.system.System` wants one."""
