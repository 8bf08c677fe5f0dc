"""Tables and plots of result files."""
