"""Adapters of other libraries' interfaces, one module each; each needs the extra of its name."""
