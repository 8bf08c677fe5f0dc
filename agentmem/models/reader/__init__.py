"""A pretrained language model that reads memories as states in place of their tokens."""
