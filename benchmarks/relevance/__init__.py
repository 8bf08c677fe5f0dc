"""How well the relevance of a hit tells evidence from what merely resembles the question."""
