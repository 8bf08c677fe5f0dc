"""Reading benchmark: answers from memories as states, as text, and without memories."""
