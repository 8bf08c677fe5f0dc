"""From ids to what a model reads: hits, packed into a budget, as prompts."""
