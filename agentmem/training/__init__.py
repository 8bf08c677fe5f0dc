"""Training of each model: a TOML file in, a run folder out; the loop is shared."""
