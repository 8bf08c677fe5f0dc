"""Benchmarks behind every figure in the documentation; not part of the wheel."""
