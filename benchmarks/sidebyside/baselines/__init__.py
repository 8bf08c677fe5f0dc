"""Other memory systems, each behind the interface `benchmarks.sidebyside.system.System`."""
