"""Measuring: data in, numbers out as result files, and tables and plots from those."""
