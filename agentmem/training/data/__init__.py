"""Training data from corpus files."""
