"""From ranked ids to what a model reads: hits, recalls, and their packing into prompts."""
